// Package registry speaks with a schema registry, by the REST API of Confluent's, which
// Karapace and Apicurio have too, and makes serializers whose bytes begin with the id of a
// schema there:
//
//	 0    1         5
//	┌───┬──────────┬─────────┐
//	│ 0 │ id, big- │ payload │   Protobuf has the message's indexes before the payload
//	│   │ endian   │         │
//	└───┴──────────┴─────────┘
//
// What a payload is, a Format says: Avro and Protobuf are packages beside this one, JSON is
// in it. Which schema belongs to a topic, a subject says: TopicNameStrategy and the others.
//
// A schema is looked up once for each id and subject. Whoever needs it first waits for the
// registry, as long as http.read.timeout.ms; an error is not remembered.
package registry
