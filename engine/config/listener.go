package config

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/sdk/setting"
)

// Listener is one address: NAME://host:port.
type Listener struct {
	Name       string
	Protocol   string // PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL
	Host       string // empty: every interface
	Port       int    // 0: any free port
	Controller bool   // only for other controllers: not opened, and never told to clients
}

// Address is host:port as net.Listen takes it.
func (l Listener) Address() string { return net.JoinHostPort(l.Host, strconv.Itoa(l.Port)) }

// String is the listener as server.properties has it.
func (l Listener) String() string { return l.Name + "://" + l.Address() }

// Loopback reports whether only this machine can reach the address.
func (l Listener) Loopback() bool {
	ip := net.ParseIP(l.Host)
	return l.Host == "localhost" || ip != nil && ip.IsLoopback()
}

// Listeners is where the broker listens.
func Listeners(v *setting.Values) ([]Listener, error) {
	list, err := parseListeners(ListenerList.Of(v), v)
	if err != nil {
		return nil, fmt.Errorf("listeners: %w", err)
	}
	if !slices.ContainsFunc(list, func(l Listener) bool { return !l.Controller }) {
		return nil, errors.New("listeners: none is for clients")
	}
	for i, l := range list {
		if l.Protocol != "PLAINTEXT" && l.Protocol != saslPlaintext && !l.Controller {
			return nil, fmt.Errorf("listeners: %s: %s cannot be served, there is no TLS yet; use PLAINTEXT on an address that only friends can reach, or SASL_PLAINTEXT where nobody listens", l, l.Protocol)
		}
		for _, other := range list[:i] {
			if l.Name == other.Name {
				return nil, fmt.Errorf("listeners: each listener must have a name of its own, %s is there twice", l.Name)
			}
			if l.collides(other) {
				return nil, fmt.Errorf("listeners: %s and %s have the same port", other, l)
			}
		}
	}
	return list, nil
}

// collides reports whether both cannot be open at once. Kafka refuses any port that is
// used twice; one IPv4 and one IPv6 address may share it.
func (l Listener) collides(other Listener) bool {
	if l.Port == 0 || l.Port != other.Port {
		return false
	}
	a, b := net.ParseIP(l.Host), net.ParseIP(other.Host)
	return a == nil || b == nil || (a.To4() == nil) == (b.To4() == nil)
}

// Advertised is what clients are told: advertised.listeners, or listeners when it is not
// given. An empty host, and port 0 of listeners, are for the caller to fill in once it
// listens.
func Advertised(v *setting.Values) ([]Listener, error) {
	open, err := Listeners(v)
	if err != nil {
		return nil, err
	}
	open = slices.DeleteFunc(open, func(l Listener) bool { return l.Controller })
	words := AdvertisedListenerList.Of(v)
	if len(words) == 0 {
		return open, nil
	}
	list, err := parseListeners(words, v)
	if err != nil {
		return nil, fmt.Errorf("advertised.listeners: %w", err)
	}
	list = slices.DeleteFunc(list, func(l Listener) bool { return l.Controller })
	for i, l := range list {
		switch {
		case l.Host == "0.0.0.0" || l.Host == "::":
			return nil, fmt.Errorf("advertised.listeners: %s: clients cannot connect to %s; write the address that they can reach", l, l.Host)
		case !slices.ContainsFunc(open, func(o Listener) bool { return o.Name == l.Name }):
			return nil, fmt.Errorf("advertised.listeners: %s is not one of the listeners", l.Name)
		case slices.ContainsFunc(list[:i], func(o Listener) bool { return o.Name == l.Name }):
			return nil, fmt.Errorf("advertised.listeners: %s is there twice", l.Name)
		}
	}
	for _, o := range open { // a listener that is not advertised is reached by its own address
		if !slices.ContainsFunc(list, func(l Listener) bool { return o.Name == l.Name }) {
			list = append(list, o)
		}
	}
	return list, nil
}

func parseListeners(words []string, v *setting.Values) ([]Listener, error) {
	protocols, err := parseProtocols(ProtocolMap.Of(v))
	if err != nil {
		return nil, fmt.Errorf("listener.security.protocol.map: %w", err)
	}
	if len(words) == 0 {
		return nil, errors.New("none given")
	}
	list := make([]Listener, 0, len(words))
	for _, word := range words {
		l, err := parseListener(word)
		if err != nil {
			return nil, err
		}
		l.Controller = slices.ContainsFunc(ControllerListeners.Of(v), func(name string) bool { return strings.EqualFold(name, l.Name) })
		switch l.Protocol = protocols[l.Name]; {
		case l.Protocol == "" && l.Controller:
			l.Protocol = "PLAINTEXT"
		case l.Protocol == "":
			return nil, fmt.Errorf("%s: listener.security.protocol.map does not say the security protocol of %s", word, l.Name)
		}
		list = append(list, l)
	}
	return list, nil
}

// parseListener reads NAME://host:port, where host may be empty or an IPv6 address in brackets.
func parseListener(word string) (Listener, error) {
	name, address, ok := strings.Cut(word, "://")
	if !ok || name == "" {
		return Listener{}, fmt.Errorf("%s: not of the form NAME://host:port", word)
	}
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return Listener{}, fmt.Errorf("%s: not of the form NAME://host:port", word)
	}
	port, err := strconv.Atoi(portText)
	if err != nil || port < 0 || port > 65535 {
		return Listener{}, fmt.Errorf("%s: the port must be a number from 0 to 65535", word)
	}
	return Listener{Name: strings.ToUpper(name), Host: host, Port: port}, nil
}

// parseProtocols reads NAME:PROTOCOL,NAME:PROTOCOL.
func parseProtocols(text string) (map[string]string, error) {
	protocols := map[string]string{}
	for word := range strings.SplitSeq(text, ",") {
		word = strings.TrimSpace(word)
		if word == "" {
			continue
		}
		name, protocol, ok := strings.Cut(word, ":")
		name, protocol = strings.ToUpper(strings.TrimSpace(name)), strings.ToUpper(strings.TrimSpace(protocol))
		if !ok || !slices.Contains([]string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}, protocol) {
			return nil, fmt.Errorf("%s: not of the form NAME:PROTOCOL with PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL", word)
		}
		protocols[name] = protocol
	}
	return protocols, nil
}

// Voter is one controller of controller.quorum.voters.
type Voter struct {
	ID      int
	Address string
}

// Voters reads controller.quorum.voters.
func Voters(v *setting.Values) []Voter {
	var all []Voter
	for _, word := range QuorumVoters.Of(v) {
		if voter, ok := parseVoter(word); ok {
			all = append(all, voter)
		}
	}
	return all
}

func parseVoter(word string) (Voter, bool) {
	id, address, ok := strings.Cut(word, "@")
	n, err := strconv.Atoi(id)
	if _, _, split := net.SplitHostPort(address); !ok || err != nil || n < 0 || split != nil {
		return Voter{}, false
	}
	return Voter{ID: n, Address: address}, true
}

func checkVoters(words []string) string {
	for _, word := range words {
		if _, ok := parseVoter(word); !ok {
			return word + " is not of the form id@host:port"
		}
	}
	return ""
}
