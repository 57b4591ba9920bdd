"""The real-time server: speech in, a speaking face out."""

if __name__ == "realtime":  # in a checkout, where this name and lipstream's give the same modules
    from lipstream.checkout_names import share_modules

    share_modules(__name__)
