"""Why a request is refused, without HTTP."""
