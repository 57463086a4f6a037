package security

import (
	"fmt"
	"slices"
	"time"
)

// Mechanism is one that clients of a listener may choose.
type Mechanism struct {
	*Worker
	Name      string
	MaxReauth time.Duration // after it there must be another proof; 0: never
}

// Listener is the mechanisms of one listener. It does not change.
type Listener struct {
	names      []string
	mechanisms []Mechanism
}

// NewListener makes a listener of mechanisms, in their order.
func NewListener(mechanisms ...Mechanism) *Listener {
	l := &Listener{mechanisms: mechanisms}
	for _, m := range mechanisms {
		l.names = append(l.names, m.Name)
	}
	return l
}

// Names are the mechanisms' names. The slice is not the caller's to change.
func (l *Listener) Names() []string { return l.names }

// Mechanism finds one that there is.
func (l *Listener) Mechanism(name string) Mechanism {
	i := slices.Index(l.names, name)
	if i < 0 {
		panic(fmt.Sprintf("security: there is no mechanism %q", name))
	}
	return l.mechanisms[i]
}
