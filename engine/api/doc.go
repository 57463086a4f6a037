// Package api answers requests. There is one file for each API key, named for it, in
// which a handler checks, asks who owns the answer, and replies.
//
// A handler runs on the loop of the connection and must not block. What a shard owns it
// asks of the shard, what the controller owns of the controller; both answer later, on
// their own goroutine, and the reply goes out in the order in which the connection asked.
//
// The table in table.go says which versions of which keys are served. It is what
// ApiVersions advertises, so that nothing is advertised that does not work.
package api
