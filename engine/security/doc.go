// Package security makes sure who is at the other end of a connection, by SASL as Kafka has it
// (KIP-12, KIP-43, KIP-84, KIP-152, KIP-368).
//
//	          request            token             Exchange
//	peer ───────────────▶ Gate ─────────▶ Mechanism ───────▶ PLAIN, SCRAM, a plugin
//	      closed, or       │   worker, until a deadline          │
//	      ILLEGAL_SASL_STATE   ◀──────────────────────────────────┘
//	                       ▼              answer, Identity
//	              may be served
//
// A Gate is a pure machine, one for each connection: it decides what the peer may say before it has
// proved who it is, and when it has to prove it again. An exchange may ask other machines, so that its
// steps run on the workers of its mechanism, of which there are few: who floods them is turned away,
// and a plugin that hangs harms only those who use it.
//
// What must stay true:
//
//   - Nothing but ApiVersions, SaslHandshake and SaslAuthenticate is served before a proof.
//   - What takes longer than its deadline, panics, or fails in any way is a failed proof.
//   - A client cannot tell a user that does not exist from a wrong password.
//   - No password is in an error, a log line or a metric.
package security
