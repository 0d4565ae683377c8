"""Jobs in Redis: one Lua file a transition (`lua/`), and one module or package a side that uses them: `gateway`,
`scorer`, `trainer`, `supervisor`.
"""
