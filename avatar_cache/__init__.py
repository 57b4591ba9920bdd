"""Prepares and stores avatars."""

if __name__ == "avatar_cache":  # imported in a checkout, where both names must give the same modules
    from lipstream.checkout_names import share_modules

    share_modules(__name__)
