// Package standard is the plugins that ship: who imports it has them all. A program with
// fewer, or with others, imports those that it wants instead.
package standard

import (
	_ "github.com/millrace/millrace/plugins/auditlog"   // audit-log: who wrote and read
	_ "github.com/millrace/millrace/plugins/dedupe"     // dedupe: a key once in a window
	_ "github.com/millrace/millrace/plugins/jsonschema" // json-schema: what does not match is bad
	_ "github.com/millrace/millrace/plugins/mask"       // mask: hides fields
	_ "github.com/millrace/millrace/plugins/ratelimit"  // rate-limit: refuses what comes too fast
	_ "github.com/millrace/millrace/plugins/schemaid"   // schema-id: only schemas that are known
	_ "github.com/millrace/millrace/plugins/stamp"      // header-stamp: time, client and trace
)
