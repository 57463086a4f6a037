package engine

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/engine/security"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/setting"
)

// proofs is the mechanisms by which clients prove who they are, for each listener that demands it.
//
// Ownership: the broker, which closes it when no client is left.
type proofs struct {
	listeners map[string]*security.Listener
	workers   []*security.Worker
}

// openProofs makes the mechanisms of all listeners, by the settings of the file alone: what was set
// while a broker ran must not say who is let in. On an error nothing of them is left.
func openProofs(v *setting.Values, listeners map[string][]config.Mechanism, c security.Credentials) (_ *proofs, err error) {
	p := &proofs{listeners: map[string]*security.Listener{}}
	if len(listeners) == 0 {
		return p, nil
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	shared, err := p.plugins(v)
	if err != nil {
		return nil, err
	}
	for name, wanted := range listeners {
		var mechanisms []security.Mechanism
		for _, m := range wanted {
			w := shared[m.Name]
			if w == nil {
				made, err := builtIn(name, m, c)
				if err != nil {
					return nil, err
				}
				if w = p.work(made); m.Name != security.Plain {
					shared[m.Name] = w // credentials are the same for all listeners
				}
			}
			mechanisms = append(mechanisms, security.Mechanism{Worker: w, Name: m.Name, MaxReauth: m.MaxReauth})
		}
		p.listeners[name] = security.NewListener(mechanisms...)
	}
	return p, nil
}

func (p *proofs) work(a sdk.Authenticator) *security.Worker {
	w := security.NewWorker(a)
	p.workers = append(p.workers, w)
	return w
}

// builtIn makes a mechanism that needs no plugin.
func builtIn(listener string, m config.Mechanism, c security.Credentials) (sdk.Authenticator, error) {
	switch m.Name {
	case security.Plain:
		if m.Users == nil {
			return nil, fmt.Errorf("listener %s has the mechanism PLAIN and no users: give them in listener.name.%s.plain.sasl.jaas.config", listener, strings.ToLower(listener))
		}
		return security.NewPlain(m.Users), nil
	case security.Scram256, security.Scram512:
		return security.NewScram(m.Name, c), nil
	}
	return nil, fmt.Errorf("listener %s has the mechanism %s, which no plugin of authenticators announces", listener, m.Name)
}

// plugins makes the authenticators that settings name, by the mechanisms that they announce.
func (p *proofs) plugins(v *setting.Values) (map[string]*security.Worker, error) {
	made := map[string]*security.Worker{}
	for _, name := range config.Authenticators.Of(v) {
		prefix := config.PluginPrefix + name + "."
		texts := map[string]string{}
		for key, text := range v.Family(prefix) {
			texts[strings.TrimPrefix(key, prefix)] = text
		}
		kind := name
		if given, ok := texts["type"]; ok {
			kind = given
			delete(texts, "type")
		}
		a, mechanism, err := newAuthenticator(kind, texts)
		if err == nil && (mechanism == "" || made[mechanism] != nil) {
			err = fmt.Errorf("it announces the mechanism %q, which is none or is another's too", mechanism)
		}
		if err != nil {
			return nil, fmt.Errorf("authenticators: %s: %w", name, err)
		}
		made[mechanism] = p.work(a)
	}
	return made, nil
}

// newAuthenticator makes a plugin. One that panics is one that cannot be made.
func newAuthenticator(kind string, texts map[string]string) (a sdk.Authenticator, mechanism string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it panicked: %v", p)
		}
	}()
	if a, err = sdk.Authenticators.New(kind, sdk.NewConfig(texts)); err != nil {
		return nil, "", err
	}
	return a, a.Mechanism(), nil
}

// close ends all of it.
func (p *proofs) close() error {
	var all []error
	for _, w := range p.workers {
		all = append(all, w.Close())
	}
	p.workers = nil
	return errors.Join(all...)
}

// scramCredentials are those of the newest image. Any goroutine may ask.
type scramCredentials struct {
	image   func() *cluster.Image
	samples atomic.Pointer[scramSamples]
}

// scramSamples are the users of one edition of credentials, by mechanism, for those that do not exist
// to look alike.
type scramSamples struct {
	of    *cluster.ScramEdition
	users map[string][]cluster.ScramKey
}

// Find is security.Credentials'.
func (c *scramCredentials) Find(mechanism, user string) (security.Credential, bool) {
	known := c.image().ScramCredential(user, mechanism)
	if known == nil {
		return security.Credential{}, false
	}
	return security.Credential(*known), true
}

// Sample is security.Credentials'. Users are sorted anew only when credentials have changed.
func (c *scramCredentials) Sample(mechanism string, number uint64) (security.Credential, bool) {
	image := c.image()
	known := c.samples.Load()
	if known == nil || known.of != image.ScramEdition() {
		known = &scramSamples{of: image.ScramEdition(), users: map[string][]cluster.ScramKey{}}
		for _, of := range image.ScramUsers() {
			known.users[of.Mechanism] = append(known.users[of.Mechanism], of)
		}
		c.samples.Store(known)
	}
	users := known.users[mechanism]
	if len(users) == 0 {
		return security.Credential{}, false
	}
	of := users[number%uint64(len(users))]
	return security.Credential(*image.ScramCredential(of.User, of.Mechanism)), true
}
