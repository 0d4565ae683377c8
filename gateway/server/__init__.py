"""How gunicorn runs the gateway: its configuration, its worker class, and what each process loads."""
