// Package standard is the plugins that ship: who imports it has them all. A program with
// fewer, or with others, imports those that it wants instead.
package standard

import (
	_ "github.com/millrace/millrace/plugins/auditlog"         // audit-log: who wrote and read
	_ "github.com/millrace/millrace/plugins/consistentrandom" // consistent-random: librdkafka's partitioner
	_ "github.com/millrace/millrace/plugins/dedupe"           // dedupe: a key once in a window
	_ "github.com/millrace/millrace/plugins/jsonschema"       // json-schema: what does not match is bad
	_ "github.com/millrace/millrace/plugins/mask"             // mask: hides fields
	_ "github.com/millrace/millrace/plugins/murmur2"          // murmur2: Java's partitioner
	_ "github.com/millrace/millrace/plugins/ratelimit"        // rate-limit: refuses what comes too fast
	_ "github.com/millrace/millrace/plugins/roundrobin"       // round-robin: one partition after the other
	_ "github.com/millrace/millrace/plugins/schemaid"         // schema-id: only schemas that are known
	_ "github.com/millrace/millrace/plugins/stamp"            // header-stamp: time, client and trace
	_ "github.com/millrace/millrace/plugins/sticky"           // sticky: a batch to each partition
	_ "github.com/millrace/millrace/plugins/zoneaware"        // zone-aware: leaders nearby first
)
