"""What runs in processes of their own: for each contestant the same verbs."""
