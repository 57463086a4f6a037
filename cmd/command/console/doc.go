// Package console turns lines into records and records into lines, as Kafka's
// console producer and console consumer do.
//
//	stdin ──▶ lines ──▶ Reader (key, headers, null marker) ──▶ producer
//	consumer ──▶ Formatter (columns, deserializers) ──▶ stdout
//
// Bytes pass through as they are: a value need not be UTF-8, where Kafka's own
// tools would replace what is not.
package console
