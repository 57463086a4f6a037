package acl

import (
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/millrace/millrace/sdk"
)

// StandardName is the name by which settings ask for an Authorizer: that of Kafka's.
const StandardName = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"

// Options are what settings say beside the bindings.
type Options struct {
	// SuperUsers may do everything.
	SuperUsers []sdk.Principal
	// AllowEveryone allows what no binding is about.
	AllowEveryone bool
}

// Authorizer decides by the newest picture. Any goroutine may ask it; one shows pictures.
type Authorizer struct {
	super         map[sdk.Principal]bool
	allowEveryone bool
	picture       atomic.Pointer[Picture]
}

var _ sdk.Authorizer = (*Authorizer)(nil)

// New is an Authorizer without bindings.
func New(o Options) *Authorizer {
	a := &Authorizer{super: map[sdk.Principal]bool{}, allowEveryone: o.AllowEveryone}
	for _, who := range o.SuperUsers {
		a.super[who] = true
	}
	a.picture.Store(&Picture{})
	return a
}

// Change has bindings come and go. What is asked from now on is answered by the new picture.
//
// Ownership: one goroutine at a time may call it, that which applies metadata.
func (a *Authorizer) Change(added, removed []Binding) {
	if len(added)+len(removed) > 0 {
		a.picture.Store(a.picture.Load().With(added, removed))
	}
}

// Allowed implements sdk.Authorizer.
func (a *Authorizer) Allowed(who *sdk.Requester, action sdk.Action) bool {
	if a.super[who.Principal] {
		return true
	}
	m, some := a.picture.Load().of(who, action.Type, action.Name)
	switch bits := bit(action.Operation); {
	case m.deny&bits != 0:
		return false
	case m.allow&bits != 0:
		return true
	}
	return !some && a.allowEveryone
}

// anyName stands for a resource that nobody thought of, as in Kafka.
const anyName = "hardcode"

// AllowedAny implements sdk.Authorizer.
func (a *Authorizer) AllowedAny(who *sdk.Requester, op sdk.Operation, t sdk.ResourceType) bool {
	return a.Allowed(who, sdk.Action{Operation: op, Type: t, Name: anyName}) || a.picture.Load().anywhere(who, op, t)
}

// ParseSuperUsers reads the setting super.users: principals, separated by semicolons.
func ParseSuperUsers(text string) (users []sdk.Principal, err error) {
	for one := range strings.SplitSeq(text, ";") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		who, err := sdk.ParsePrincipal(one)
		if err != nil {
			return nil, fmt.Errorf("super.users, which are separated by semicolons: %w", err)
		}
		users = append(users, who)
	}
	return users, nil
}
