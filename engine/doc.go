// Package engine assembles one broker: it is the only place where sockets, logs and
// state machines meet. Start brings a broker up, Stop takes it down; everything between
// happens in the packages below.
//
//	netpoll ─▶ api ─▶ shard ─▶ commitlog ─▶ diskio
//	            │       └─ partition, group, txn
//	            └─▶ quorum ─▶ cluster
package engine
