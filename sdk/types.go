package sdk

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"sync"
)

// OfAnyType makes a plugin for values of a type that it is told, as one does that has to do
// with no type in particular. S is Serializer[any] or Deserializer[any].
type OfAnyType[S any] func(t reflect.Type, c Config) (S, error)

// OfSomeType is a plugin that is registered for a type, for hosts that do not know the type.
type OfSomeType[S any] struct {
	Type reflect.Type
	Name string
	New  func(Config) (S, error)
}

// types are the registries of one kind by the type of the values. S is Serializer[any] or
// Deserializer[any].
type types[S any] struct {
	kinds  sync.Map                // by reflect.Type: *Kind of that type
	erased sync.Map                // by reflect.Type: func() []OfSomeType[S]
	ofAny  map[string]OfAnyType[S] // written by init alone
}

var (
	serializers   = types[Serializer[any]]{ofAny: map[string]OfAnyType[Serializer[any]]{}}
	deserializers = types[Deserializer[any]]{ofAny: map[string]OfAnyType[Deserializer[any]]{}}
)

// RegisterSerializers makes serializers of every type known by name. For init.
func RegisterSerializers(name string, plugin OfAnyType[Serializer[any]]) {
	serializers.register(name, plugin)
}

// RegisterDeserializers makes deserializers of every type known by name. For init.
func RegisterDeserializers(name string, plugin OfAnyType[Deserializer[any]]) {
	deserializers.register(name, plugin)
}

// AllSerializers are those that are registered for some type, in order.
func AllSerializers() []OfSomeType[Serializer[any]] { return serializers.all() }

// AllDeserializers are those that are registered for some type, in order.
func AllDeserializers() []OfSomeType[Deserializer[any]] { return deserializers.all() }

func (s *types[S]) register(name string, plugin OfAnyType[S]) {
	if name == "" || plugin == nil || s.ofAny[name] != nil {
		panic(fmt.Sprintf("%q is registered for values of any type twice, or without a name or a function", name))
	}
	s.ofAny[name] = plugin
}

func (s *types[S]) all() (all []OfSomeType[S]) {
	s.erased.Range(func(_, list any) bool {
		all = append(all, list.(func() []OfSomeType[S])()...)
		return true
	})
	slices.SortFunc(all, func(a, b OfSomeType[S]) int {
		return cmp.Or(cmp.Compare(a.Type.String(), b.Type.String()), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// typed is the registry of S, which is about values of type T; A is the same about any.
func typed[T, S, A any](s *types[A], name string, erase func(S) A, restore func(A) S) *Kind[S] {
	t := reflect.TypeFor[T]()
	if k, ok := s.kinds.Load(t); ok {
		return k.(*Kind[S])
	}
	k := newKind[S](name + " of " + t.String())
	k.open = func(name string) func(Config) (S, error) {
		plugin := s.ofAny[name]
		if plugin == nil {
			return nil
		}
		return func(c Config) (S, error) {
			made, err := plugin(t, c)
			if err != nil {
				var none S
				return none, err
			}
			return restore(made), nil
		}
	}
	known, loaded := s.kinds.LoadOrStore(t, k)
	if !loaded {
		s.erased.Store(t, func() (all []OfSomeType[A]) {
			for name := range k.made {
				all = append(all, OfSomeType[A]{t, name, func(c Config) (A, error) {
					made, err := k.New(name, c)
					if err != nil {
						var none A
						return none, err
					}
					return erase(made), nil
				}})
			}
			return all
		})
	}
	return known.(*Kind[S])
}

// erased is a serializer of T as one of any.
type erased[T any] struct{ Serializer[T] }

func (e erased[T]) Append(dst []byte, topic string, headers *[]Header, v any) ([]byte, error) {
	typed, err := valueOf[T](v)
	if err != nil {
		return nil, err
	}
	return e.Serializer.Append(dst, topic, headers, typed)
}

// restored is a serializer of any as one of T.
type restored[T any] struct{ of Serializer[any] }

func (r restored[T]) Append(dst []byte, topic string, headers *[]Header, v T) ([]byte, error) {
	return r.of.Append(dst, topic, headers, v)
}

// Close closes what it is made of.
func (r restored[T]) Close() error { return closeIt(r.of) }

// Unwrap is what it is made of.
func (r restored[T]) Unwrap() any { return r.of }

type erasedDeserializer[T any] struct{ of Deserializer[T] }

func (e erasedDeserializer[T]) Decode(topic string, headers []Header, data []byte) (any, error) {
	return e.of.Decode(topic, headers, data)
}

type restoredDeserializer[T any] struct{ of Deserializer[any] }

func (r restoredDeserializer[T]) Decode(topic string, headers []Header, data []byte) (T, error) {
	v, err := r.of.Decode(topic, headers, data)
	if err != nil {
		var none T
		return none, err
	}
	return valueOf[T](v)
}

// Close closes what it is made of.
func (r restoredDeserializer[T]) Close() error { return closeIt(r.of) }

// Unwrap is what it is made of.
func (r restoredDeserializer[T]) Unwrap() any { return r.of }

func erase[T any](s Serializer[T]) Serializer[any]   { return erased[T]{s} }
func restore[T any](s Serializer[any]) Serializer[T] { return restored[T]{s} }

func eraseDeserializer[T any](d Deserializer[T]) Deserializer[any] { return erasedDeserializer[T]{d} }
func restoreDeserializer[T any](d Deserializer[any]) Deserializer[T] {
	return restoredDeserializer[T]{d}
}

// valueOf is v as a T; nil is the zero value.
func valueOf[T any](v any) (T, error) {
	t, ok := v.(T)
	if !ok && v != nil {
		return t, fmt.Errorf("a %T is no %s", v, reflect.TypeFor[T]())
	}
	return t, nil
}

// closeIt closes a plugin that has something to close.
func closeIt(plugin any) error {
	if c, ok := plugin.(interface{ Close() error }); ok {
		return c.Close()
	}
	return nil
}
