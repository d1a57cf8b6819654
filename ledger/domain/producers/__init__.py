"""Rules for jobs of other programs that need nothing but their arguments. Pure."""
