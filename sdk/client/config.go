package client

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/sasl"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/setting"
)

// Config is the settings of a client, by Kafka's names.
type Config map[string]string

// ReadConfig reads a file of properties, such as Kafka's client.properties. Where a key is
// given twice the last one counts.
func ReadConfig(file string) (Config, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the settings of a client: %w", err)
	}
	c, err := ParseConfig(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return c, nil
}

// ParseConfig reads properties.
func ParseConfig(properties string) (Config, error) {
	lines, err := setting.ParseProperties(properties)
	if err != nil {
		return nil, err
	}
	c := make(Config, len(lines))
	for _, p := range lines {
		c[p.Key] = p.Value
	}
	return c, nil
}

// With is a copy of c in which a key has another value.
func (c Config) With(key, value string) Config {
	other := make(Config, len(c)+1)
	maps.Copy(other, c)
	other[key] = value
	return other
}

// role is a kind of client: which sections of Keys it has, and the defaults that it has for
// keys in common where Kafka's clients differ.
type role struct {
	name     string // producer, consumer, admin
	sections []*setting.Section
	defaults map[string]string
}

// pluginPrefix is what the settings of plugins begin with.
const pluginPrefix = "plugin."

// settings are what one client was made of: values that were checked, and who to tell.
type settings struct {
	*setting.Values
	given Config
	role  string
	log   *slog.Logger
	proof sasl.Mechanism // of who the client is; nil: brokers do not ask
}

// resolve checks the settings of a client of that role. What it does not know it warns
// about; what is wrong is an error, all of it at once.
func (c Config) resolve(r role, log *slog.Logger) (*settings, error) {
	if log == nil {
		log = slog.Default()
	}
	layer := setting.Layer{Source: setting.SourceStatic, Texts: map[string]string{}}
	for key, text := range c {
		if strings.HasPrefix(key, pluginPrefix) {
			continue
		}
		if d := Keys.Lookup(key); d != nil && !slices.Contains(r.sections, d.Section) {
			log.Warn("a setting has no effect", "client", r.name, "setting", key, "why", "it is one of: "+d.Section.Title)
			continue
		}
		layer.Texts[key] = text
	}
	var wrong []error
	for _, p := range Keys.Problems(layer) {
		if p.Fatal() {
			wrong = append(wrong, p)
		} else {
			log.Warn("a setting has no effect", "client", r.name, "setting", p.Key, "why", p.Why)
		}
	}
	s := &settings{given: maps.Clone(c), role: r.name, log: log,
		Values: Keys.Resolve(layer, setting.Layer{Source: setting.SourceDefault, Texts: r.defaults})}
	if len(BootstrapServers.Of(s.Values)) == 0 && len(wrong) == 0 {
		wrong = append(wrong, fmt.Errorf("%s is missing: name at least one broker, as host:port", BootstrapServers.Name))
	}
	var err error
	if s.proof, err = proof(s.Values); err != nil {
		wrong = append(wrong, err)
	}
	if len(wrong) > 0 {
		return nil, fmt.Errorf("settings of the %s: %w", r.name, errors.Join(wrong...))
	}
	return s, nil
}

// registered is the name that the plugin called name is registered under, and what the settings
// say to it. Where plugin.<name>.type is given, as in the settings of a broker, that is its
// name, and all below plugin.<name>. is for it: the file of a module, its limits.
func (s *settings) registered(name string) (string, sdk.Config) {
	prefix := pluginPrefix + name + "."
	kind, given := s.given[prefix+"type"]
	if !given {
		return name, s.plugin(name)
	}
	values := map[string]string{}
	for key, text := range s.given {
		if rest, ok := strings.CutPrefix(key, prefix); ok && rest != "type" {
			values[rest] = text
		}
	}
	return strings.TrimSpace(kind), sdk.NewConfig(values)
}

// plugin is what the settings say to the plugin of that name.
func (s *settings) plugin(name string) sdk.Config {
	prefix := pluginPrefix + name + ".config."
	values := map[string]string{}
	for key, text := range s.given {
		if rest, ok := strings.CutPrefix(key, prefix); ok {
			values[rest] = text
		}
	}
	return sdk.NewConfig(values)
}
