// Package sdk is what the author of a plugin implements, and the registries by which a
// name in a setting becomes one.
//
//	kind                  sees                                      where it runs
//	Interceptor           a record batch, on produce or on fetch    broker, WASM guest, client
//	ProducerInterceptor   a record before it is serialized          client, WASM guest
//	ConsumerInterceptor   what a poll returns                       client, WASM guest
//	Serializer[T]         one key or value                          client, WASM guest
//	Deserializer[T]       one key or value                          client, WASM guest
//	Partitioner           a serialized record and its topic         client, WASM guest
//	Assignor              the members of a classic group            client, WASM guest
//	Authenticator         the messages of a SASL exchange           broker
//	Authorizer            who wants to do what with which resource  broker
//
// A plugin is one package with one line in init:
//
//	func init() { sdk.Interceptors.Register("mask", New) }
//
// Settings name it: interceptors=mask, plugin.mask.config.fields=card. New gets what stands
// below its prefix as a Config, once, before the plugin is used.
//
// What must stay true: whoever runs a plugin is the host. It rebuilds headers, offsets,
// checksums and compression, and never trusts bytes that a plugin made.
package sdk
