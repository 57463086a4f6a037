package config

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/sdk/jaas"
	"github.com/millrace/millrace/sdk/setting"
)

// saslPlaintext is the security protocol of listeners whose clients prove who they are, over
// connections that are not encrypted.
const saslPlaintext = "SASL_PLAINTEXT"

// Authentication (docs/security.md).
var (
	SaslMechanisms = security.List(setting.List{
		Name: "sasl.enabled.mechanisms", Default: []string{"GSSAPI"}, Allowed: "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and what authenticators announce",
		Doc: "SASL mechanisms by which clients of SASL_PLAINTEXT listeners may prove who they are; for one listener listener.name.<name>.sasl.enabled.mechanisms. It must be given: GSSAPI cannot be served.",
	})
	SaslLogin = security.Password(setting.String{
		Name: "sasl.jaas.config", Null: true,
		Doc: "Users of PLAIN and their passwords, as options of Kafka's PlainLoginModule: user_alice=\"secret\". For one listener and mechanism listener.name.<name>.plain.sasl.jaas.config, which wins. It is never shown.",
	})
	MaxReauth = security.Duration(setting.Duration{
		Name: "connections.max.reauth.ms", Default: 0, Min: math.MinInt64,
		Doc: "Time after which a client must prove again who it is (KIP-368): the next request is answered only if it begins that. 0: never. For one listener, or one mechanism of it, with listener.name.<name>. or listener.name.<name>.<mechanism>. before it.",
	})
	FailureDelay = security.Duration(setting.Duration{
		Name: "connection.failed.authentication.delay.ms", Default: 100, Int: true,
		Doc: "Time before a client hears that it failed to prove who it is, and its connection is closed.",
	})
	SaslReceiveBytes = security.Int(setting.Int{
		Name: "sasl.server.max.receive.size", Default: 64 << 10, Kafka: "524288", Min: math.MinInt32,
		Doc: "Largest request of a client that has not proved who it is. A longer one closes its connection.",
	})
	AuthenticationTimeout = security.Duration(setting.Duration{
		Name: "sasl.authentication.timeout.ms", Default: 10_000, Min: 1, Int: true, Kafka: "no such setting",
		Doc: "Time that a client of a SASL_PLAINTEXT listener has to prove who it is, from when it connects, or from when it begins to prove it again. Then its connection is closed.",
	})
	Authenticators = security.List(setting.List{
		Name: "authenticators", Kafka: "no such setting", Check: pluginNames, Allowed: "letters, digits, - and _",
		Doc: "Plugins that make sure who clients are, by names; each announces a mechanism, in place of the one that is built in if the names are the same. What a plugin is stands in plugin.<name>.type, its own settings in plugin.<name>.config.<key>.",
	})
)

const (
	listenerPrefix = "listener.name."
	noListenerTLS  = "of a listener sasl.enabled.mechanisms is read, <mechanism>.sasl.jaas.config and connections.max.reauth.ms; there is no TLS yet"
)

// ofMechanism reports whether a key of a listener is read.
func ofMechanism(key string) bool {
	return strings.HasSuffix(key, "."+SaslMechanisms.Name) || strings.HasSuffix(key, "."+SaslLogin.Name) || strings.HasSuffix(key, "."+MaxReauth.Name)
}

// builtInMechanisms are those that need no plugin.
var builtInMechanisms = []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}

// Mechanism is one mechanism of a listener.
type Mechanism struct {
	Name  string
	Users map[string]string // of PLAIN, with their passwords; nil: there are none
	// MaxReauth is after how long it must be proved again who is there; 0: never.
	MaxReauth time.Duration
}

// String shows a mechanism without its users' passwords.
func (m Mechanism) String() string { return m.Name }

// GoString is String.
func (m Mechanism) GoString() string { return m.Name }

// Mechanisms are those of every SASL listener, by its name. No error shows a password.
func Mechanisms(v *setting.Values, listeners []Listener) (map[string][]Mechanism, error) {
	given := v.Family(listenerPrefix)
	all := map[string][]Mechanism{}
	wrong := strayKeys(v, given, listeners)
	for _, l := range listeners {
		if l.Protocol != saslPlaintext || l.Controller {
			continue
		}
		prefix := listenerPrefix + strings.ToLower(l.Name) + "."
		key, names := SaslMechanisms.Name, SaslMechanisms.Of(v)
		if own, ok := given[prefix+SaslMechanisms.Name]; ok {
			key, names = prefix+SaslMechanisms.Name, split(own)
		}
		if len(names) == 0 {
			wrong = append(wrong, fmt.Errorf("%s: listener %s has no mechanism; there are %s", key, l.Name, strings.Join(builtInMechanisms, ", ")))
		}
		for i, name := range names {
			if !slices.Contains(builtInMechanisms, name) && len(Authenticators.Of(v)) == 0 {
				wrong = append(wrong, fmt.Errorf("%s: listener %s cannot have %s; there are %s, and those of plugins (authenticators)", key, l.Name, name, strings.Join(builtInMechanisms, ", ")))
				continue
			}
			if slices.Contains(names[:i], name) {
				continue
			}
			one, err := mechanism(v, given, prefix, name)
			if err != nil {
				wrong = append(wrong, err)
			}
			all[l.Name] = append(all[l.Name], one)
		}
	}
	return all, errors.Join(wrong...)
}

// strayKeys are the errors of keys that would be read if their listener was there: whoever wrote one
// believes that a listener is more guarded than it is.
func strayKeys(v *setting.Values, given map[string]string, listeners []Listener) (wrong []error) {
	names := slices.Clone(ControllerListeners.Of(v)) // which may be another node's
	for _, l := range listeners {
		names = append(names, l.Name)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	for _, key := range slices.Sorted(maps.Keys(given)) {
		switch {
		case !ofMechanism(key):
		case !slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(key, listenerPrefix+strings.ToLower(name)+".") }):
			wrong = append(wrong, fmt.Errorf("%s: there is no such listener; there are %s, which are written in small letters here", key, strings.Join(names, ", ")))
		case key != strings.ToLower(key):
			wrong = append(wrong, fmt.Errorf("%s: listeners and mechanisms are written in small letters here", key))
		}
	}
	return wrong
}

// mechanism reads what belongs to one mechanism of the listener whose keys begin with prefix.
func mechanism(v *setting.Values, given map[string]string, prefix, name string) (m Mechanism, err error) {
	m = Mechanism{Name: name, MaxReauth: max(MaxReauth.Of(v), 0)}
	own := prefix + strings.ToLower(name) + "."
	for _, key := range []string{own + MaxReauth.Name, prefix + MaxReauth.Name} {
		if text, ok := given[key]; ok {
			millis, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return m, fmt.Errorf("%s=%s: Not a number of type LONG", key, text)
			}
			m.MaxReauth = time.Duration(min(max(millis, 0), math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
			break
		}
	}
	if name != "PLAIN" {
		return m, checkLogin(given, own+SaslLogin.Name)
	}
	key, text := own+SaslLogin.Name, given[own+SaslLogin.Name]
	if text == "" {
		key, text = SaslLogin.Name, SaslLogin.Of(v)
	}
	if text == "" {
		return m, nil // a plugin may serve it; who makes mechanisms knows
	}
	if m.Users, err = plainUsers(text); err != nil {
		return m, fmt.Errorf("%s: %w", key, err)
	}
	return m, nil
}

// checkLogin reads a login that nothing is taken from: Kafka needs one for SCRAM.
func checkLogin(given map[string]string, key string) error {
	if text := given[key]; text != "" {
		if _, err := jaas.Parse(text); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

// plainUsers are the users of the PlainLoginModule of a login text.
func plainUsers(text string) (map[string]string, error) {
	logins, err := jaas.Parse(text)
	if err != nil {
		return nil, err
	}
	for _, l := range logins {
		if l.Module != jaas.PlainModule {
			continue
		}
		users := map[string]string{}
		for option, password := range l.Options {
			name, ok := strings.CutPrefix(option, "user_")
			if !ok {
				continue // username and password are what a broker would log in with elsewhere
			}
			if name == "" || password == "" {
				return nil, errors.New("an option user_<name>=\"<password>\" lacks its name or its password")
			}
			users[name] = password
		}
		if len(users) == 0 {
			return nil, errors.New("there is no user: write user_<name>=\"<password>\"")
		}
		return users, nil
	}
	return nil, fmt.Errorf("PLAIN needs the login module %s", jaas.PlainModule)
}
