package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/millrace/millrace/sdk/setting"
)

// Broker is what server.properties and the command line say, checked.
type Broker struct {
	Values     *setting.Values
	Listeners  []Listener             // in the order given, those of the controller marked
	Advertised []Listener             // what clients are told; an empty host or port 0 is for the caller to fill in
	Mechanisms map[string][]Mechanism // by which clients of a SASL_PLAINTEXT listener prove who they are, by its name
	Warnings   []string               // one line each, to be logged
}

// Load reads the file of that name ("" for none) with the overrides of the command line
// ("key=value") on top.
func Load(file string, overrides []string) (*Broker, error) {
	if file == "" {
		return Parse("", "", overrides)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	return Parse(file, string(text), overrides)
}

// Parse is Load for a text that is already read. All that is wrong is in one error, a
// line each.
func Parse(file, text string, overrides []string) (*Broker, error) {
	layer, problems, err := setting.ReadStatic(file, text, overrides)
	if err != nil {
		return nil, err
	}
	problems = append(problems, Settings.Problems(layer)...)
	var wrong []error
	for _, p := range problems {
		if p.Fatal() {
			wrong = append(wrong, p)
		}
	}
	b := &Broker{Values: Settings.Resolve(layer), Warnings: warnings(problems)}
	if len(wrong) == 0 {
		wrong = b.check()
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	return b, nil
}

// warnings makes one line of each problem that is not fatal, except that all keys that
// have no effect for the same reason share one.
func warnings(problems []setting.Problem) []string {
	var lines []string
	var reasons []string
	keys := map[string][]string{}
	for _, p := range problems {
		switch {
		case p.Fatal():
		case p.Kind == setting.NoEffect:
			if keys[p.Why] == nil {
				reasons = append(reasons, p.Why)
			}
			keys[p.Why] = append(keys[p.Why], p.Key)
		default:
			lines = append(lines, p.Error())
		}
	}
	for _, why := range reasons {
		lines = append(lines, fmt.Sprintf("no effect: %s (%s)", strings.Join(keys[why], ", "), why))
	}
	return lines
}

// check judges settings that depend on each other.
func (b *Broker) check() []error {
	var wrong []error
	fail := func(format string, values ...any) { wrong = append(wrong, fmt.Errorf(format, values...)) }
	v := b.Values
	var err error
	if b.Listeners, err = Listeners(v); err != nil {
		return append(wrong, err)
	}
	if b.Advertised, err = Advertised(v); err != nil {
		return append(wrong, err)
	}
	if b.Mechanisms, err = Mechanisms(v, b.Listeners); err != nil {
		return append(wrong, err)
	}
	for _, l := range b.Listeners {
		switch {
		case l.Controller || l.Loopback():
		case l.Protocol == saslPlaintext:
			b.Warnings = append(b.Warnings, fmt.Sprintf("%s is not encrypted: whoever listens on the way sees all records, and with PLAIN the passwords", l))
		case AuthorizerClass.Of(v) == "":
			b.Warnings = append(b.Warnings, fmt.Sprintf("%s has no access control: whoever reaches it may read and write everything", l))
		}
	}
	b.Warnings = append(b.Warnings, unauthorized(v)...)
	if roles := ProcessRoles.Of(v); len(roles) > 0 && !(slices.Contains(roles, "broker") && slices.Contains(roles, "controller")) {
		fail("process.roles=%s: this node is broker and controller at once, and cannot be one of them alone yet", strings.Join(roles, ","))
	}
	switch voters := Voters(v); {
	case len(voters) > 1:
		fail("controller.quorum.voters: %d voters, but a quorum of several is not there yet; name this node alone", len(voters))
	case len(voters) == 1 && voters[0].ID != NodeID.Of(v):
		fail("controller.quorum.voters: the only voter is node %d, but node.id is %d", voters[0].ID, NodeID.Of(v))
	}
	if GroupMinSession.Of(v) > GroupMaxSession.Of(v) {
		fail("group.min.session.timeout.ms is greater than group.max.session.timeout.ms")
	}
	if RetentionAge.Of(v) == 0 {
		fail("log.retention.ms, log.retention.minutes and log.retention.hours must be -1 (unlimited) or at least 1")
	}
	if dirs := LogDirs.Of(v); len(dirs) == 0 || slices.Contains(dirs, "") {
		fail("log.dirs: an empty name")
	}
	return wrong
}
