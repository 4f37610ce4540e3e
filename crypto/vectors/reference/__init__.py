"""The cryptography of docs/PROTOCOL.md a second time, plainly: slow, not constant-time, for known answers only."""
