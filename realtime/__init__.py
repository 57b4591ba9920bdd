"""The real-time server: speech in, a speaking face out."""

if __name__ == "realtime":  # imported in a checkout, where both names must give the same modules
    from lipstream.checkout_names import share_modules

    share_modules(__name__)
