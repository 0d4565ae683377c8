"""From a request to a published version: read, learn, measure, promote what passes the gate."""
