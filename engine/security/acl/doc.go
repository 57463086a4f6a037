// Package acl decides who may do what, as Kafka's StandardAuthorizer does: by a set of
// bindings, each of which allows or denies somebody an operation with resources of a pattern.
//
//	metadata log ──▶ bindings ──With──▶ Picture ──Show──▶ Authorizer ◀──Allowed── event loops
//
// A Picture never changes, and what it shares with the one before is not copied. Loops ask it
// without a lock, and an answer takes no memory: a look-up for each pattern that could be
// about the resource (its name, "*", each length that a prefix has), then one for who asks.
//
// What counts, in this order:
//
//  1. A super user may do everything.
//  2. Whom a binding about the resource denies the operation may not do it.
//  3. Whom one allows it may. To allow READ, WRITE, DELETE or ALTER is to allow DESCRIBE, and
//     ALTER_CONFIGS allows DESCRIBE_CONFIGS; to deny them denies nothing else.
//  4. Where no binding is about the resource, whoever asks for it, the setting
//     allow.everyone.if.no.acl.found decides.
//  5. Nobody else may.
//
// A binding is about User:alice, or with User:* about everybody, from one address or from
// anywhere ("*").
//
// Differs from Kafka: addresses are compared as addresses, so that ::1 is 0:0:0:0:0:0:0:1.
package acl
