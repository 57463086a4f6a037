package sdk

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Kind is the registry of one kind of plugin. Register is for init; everything else may be
// called by any goroutine after that.
type Kind[T any] struct {
	name string
	made map[string]func(Config) (T, error)
	open func(name string) func(Config) (T, error) // nil, or what makes one that is of any type
}

func newKind[T any](name string) *Kind[T] {
	return &Kind[T]{name: name, made: make(map[string]func(Config) (T, error))}
}

// The kinds of plugins.
var (
	Interceptors         = newKind[Interceptor]("interceptor")
	ProducerInterceptors = newKind[ProducerInterceptor]("producer interceptor")
	ConsumerInterceptors = newKind[ConsumerInterceptor]("consumer interceptor")
	Partitioners         = newKind[Partitioner]("partitioner")
	Assignors            = newKind[Assignor]("assignor")
	Authenticators       = newKind[Authenticator]("authenticator")
	Authorizers          = newKind[Authorizer]("authorizer")
)

// Serializers is the registry of what serializes values of type T: each type has one.
func Serializers[T any]() *Kind[Serializer[T]] {
	return typed[T](&serializers, "serializer", erase[T], restore[T])
}

// Deserializers is the registry of what makes values of type T out of bytes.
func Deserializers[T any]() *Kind[Deserializer[T]] {
	return typed[T](&deserializers, "deserializer", eraseDeserializer[T], restoreDeserializer[T])
}

// Register makes a plugin known by name. The function makes one from its settings: it reads
// them and need not look at c.Err, New does. A name that is taken is a mistake in the
// program, and panics.
func (k *Kind[T]) Register(name string, plugin func(c Config) (T, error)) {
	if name == "" || plugin == nil {
		panic("a " + k.name + " is registered without a name or a function")
	}
	if k.made[name] != nil {
		panic(fmt.Sprintf("two plugins are the %s %q", k.name, name))
	}
	k.made[name] = plugin
}

// New makes the plugin of that name. The error says which names there are, or which of its
// settings are wrong.
func (k *Kind[T]) New(name string, c Config) (T, error) {
	var none T
	plugin := k.made[name]
	if plugin == nil && k.open != nil {
		plugin = k.open(name)
	}
	if plugin == nil {
		return none, k.missing(name)
	}
	made, err := plugin(c)
	if err == nil {
		err = c.Err()
	}
	if err != nil {
		return none, fmt.Errorf("%s %q: %w", k.name, name, err)
	}
	return made, nil
}

// home is where the packages of plugins that ship with Millrace are.
const home = "github.com/millrace/millrace/plugins/"

// ships are the plugins that the package "standard" there brings, by the names of kinds.
var ships = map[string][]string{
	"interceptor": {"audit-log", "dedupe", "header-stamp", "json-schema", "mask", "rate-limit", "schema-id"},
	"partitioner": {"consistent-random", "murmur2", "round-robin", "sticky", "zone-aware"},
}

// missing says that there is no plugin of that name, which there are, and what brings it: a
// program has the plugins that it imports, and no others.
func (k *Kind[T]) missing(name string) error {
	there := "there are none"
	if names := k.Names(); len(names) > 0 {
		there = "there are: " + strings.Join(names, ", ")
	}
	hint := ""
	switch {
	case slices.Contains(ships[k.name], name):
		hint = fmt.Sprintf(": a program that is to have it says import _ %q", home+"standard")
	case name == "wasm" && k.name != "authenticator" && k.name != "authorizer":
		hint = fmt.Sprintf(": a program that is to run WebAssembly modules says import _ %q", home+"wasm")
	case len(k.made) == 0 && len(ships[k.name]) > 0:
		hint = fmt.Sprintf(": a program has those that it imports; import _ %q brings %s", home+"standard", strings.Join(ships[k.name], ", "))
	case len(k.made) == 0:
		hint = ": a program has those whose packages it imports"
	}
	return fmt.Errorf("there is no %s %q (%s)%s", k.name, name, there, hint)
}

// Has reports whether there is a plugin of that name.
func (k *Kind[T]) Has(name string) bool { return k.made[name] != nil }

// Names are the names of all plugins of the kind, in order.
func (k *Kind[T]) Names() []string { return slices.Sorted(maps.Keys(k.made)) }
