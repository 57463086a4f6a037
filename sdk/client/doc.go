// Package client is what a program produces, consumes and administers with: Producer,
// Consumer and Admin in Kafka's shape, with Kafka's names for their settings.
//
//	Send ─▶ interceptors ─▶ serializers ─▶ partitioner ─▶ accumulator ─▶ sender ─▶ broker
//	                                                      └──── engine: native or kgo ───┘
//	Poll ◀─ interceptors ◀─ deserializers ◀────────────── fetcher ◀──── engine: kgo ─────┘
//
// A client is made of a Config: a map, or a file of properties. Its keys are declared once,
// in Keys, in a section for each kind of client and one that all have in common. As with
// Kafka's clients a key that no client has is a warning, not an error; so is one of another
// kind of client. A value that a key does not take is an error that says what it takes.
//
// What plugins do is named in settings, and given in an options struct by programs that
// have a value at hand; the settings of a plugin stand below plugin.NAME.config.
package client
