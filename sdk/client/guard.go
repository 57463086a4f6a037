package client

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime/debug"
)

// PanicError is what a panic becomes in what a program has given to a client: its interceptors,
// callbacks, listeners, serializers, partitioners and assignors. A client makes of it what it
// makes of their errors, and goes on.
type PanicError struct {
	Value any    // of the panic
	Stack []byte // of the goroutine that panicked
}

func (e *PanicError) Error() string { return fmt.Sprintf("it panicked: %v", e.Value) }

// Unwrap is the value of the panic, if that is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// recovered, deferred, makes an error of a panic.
func recovered(err *error) {
	if cause := recover(); cause != nil {
		stack := debug.Stack()
		if inner, ok := cause.(error); ok && !sound(inner) {
			cause = fmt.Sprint(inner)
		}
		*err = &PanicError{cause, stack}
	}
}

// guarded makes an error of a panic of f, or of the error that f answers: a nil in it, say, that
// panics where somebody reads it.
func guarded(f func() error) (err error) {
	defer recovered(&err)
	if err = f(); err != nil {
		read(err)
	}
	return err
}

// read looks at all of an error.
func read(err error) {
	_ = err.Error()
	_, _ = errors.AsType[*PanicError](err)
}

// sound reports whether an error can be read.
func sound(err error) (ok bool) {
	defer func() { ok = recover() == nil }()
	read(err)
	return true
}

// stackOf is where err panicked, as the log has it; nothing if it did not.
func stackOf(err error) []any {
	if p, ok := errors.AsType[*PanicError](err); ok {
		return []any{"stack", string(p.Stack)}
	}
	return nil
}

// closeAll closes plugins that can be, each once.
func closeAll(plugins []any) (err error) {
	seen := make(map[any]bool)
	for _, p := range plugins {
		closer, ok := p.(io.Closer)
		if !ok {
			continue
		}
		if reflect.ValueOf(p).Comparable() { // else nobody can tell
			if seen[p] {
				continue
			}
			seen[p] = true
		}
		err = errors.Join(err, guarded(closer.Close))
	}
	return err
}
