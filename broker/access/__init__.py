"""Who may do what, and who did: keys, sessions, signatures and the audit log in Redis."""
