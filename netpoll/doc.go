// Package netpoll moves length-prefixed frames between sockets and pooled memory, and
// sends file ranges, mapped or by sendfile, without copying them. It knows bytes and file descriptors, nothing
// of Kafka. Linux only; the poller is gnet's.
//
//	        accept            readv             Frame            Send (any goroutine)
//	peer ───────────▶ Conn ───────────▶ Frame ────────▶ Handler ──────────────▶ Slot
//	  ▲                 │ Reserve: one slot per request, in order                │
//	  │                 ▼                                                        ▼
//	  └──────────── head ◀─ slot ◀─ slot ◀─ slot        loop's inbox (lock-free) ┘
//	 sendmsg, sendfile
//
// A Server has a few loops. A loop is one goroutine that alone touches its connections:
// what is read, the queue of reply slots, the socket. Others talk to it by its inbox, a
// lock-free list that slots, tasks and connections are linked into, so that a hand-over
// takes no memory. The pusher rings the loop's eventfd only when the loop may be asleep:
// a burst costs one wake. (gnet's Trigger would do the same at one allocation per call.)
//
// One acceptor, on the first loop, deals connections out in turn. SO_REUSEPORT was not
// taken: a broker has few and busy connections, which the kernel's hash spreads unevenly;
// one acceptor keeps one count, one reserve descriptor and one backlog to stop.
//
// What must stay true:
//
//   - Replies leave in the order of Reserve. What leaves is the longest completed prefix
//     of the queue.
//   - Every attached owner is released exactly once: when its bytes were handed to the
//     kernel, when its connection died, or when its slot was discarded.
//   - A peer cannot make the loop take memory: frames grow with the bytes that came, not
//     with the length that was promised; frames not yet released are charged to one
//     budget; a connection with too many open slots or too many unsent bytes is not read.
//   - No connection holds the loop: a turn reads and writes a bounded number of bytes.
//   - In steady state neither a frame nor a reply allocates.
//
// A turn is the handling of one poller event, and of what the inbox holds after it.
package netpoll
