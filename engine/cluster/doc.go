// Package cluster holds the picture that the metadata log describes (topics, brokers,
// settings, producer ids, features) and takes the decisions that change it. It is pure:
// it never blocks, reads a clock, draws a random number or touches a file.
//
//	             decide                    log                    Apply
//	request ──────────────▶ []Record ──────────────▶ committed ──────────────▶ next Image
//	   ▲      (Image, …)       │                                                  │
//	   └── refused, or what ───┘                                                  ▼
//	       will be answered                                             Since: what to open,
//	                                                                    close and set anew
//
// An Image never changes. Apply answers a new one that shares everything which the records
// did not touch, so that any goroutine may hold an image for as long as it likes, and two
// images are compared in the time that their differences take (Since).
//
// Invariants, checked by Check:
//
//	a topic is found by its name and by its id, and is the same topic
//	leader ∈ in-sync replicas ⊆ replicas; each replica once, each with its directory
//	leader epochs, partition epochs, broker epochs and the next producer id never go back
//
// The records and their text are described in FORMAT.md.
package cluster
