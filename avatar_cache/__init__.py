"""Prepares and stores avatars."""

if __name__ == "avatar_cache":  # in a checkout, where this name and lipstream's give the same modules
    from lipstream.checkout_names import share_modules

    share_modules(__name__)
