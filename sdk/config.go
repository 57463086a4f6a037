package sdk

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config is the settings of one plugin, and remembers what was wrong with them. The zero
// value has none. A plugin asks for each of its keys once, whether it is set or not: what
// nobody asked for is misspelt, and Err says so.
type Config struct{ state *configState }

type configState struct {
	values map[string]string
	host   map[string]string // of whoever runs the plugin; under values
	asked  map[string]bool
	wrong  []error
}

// own may stand before any key, to tell a plugin's own settings from those of the host that
// runs it: plugin.mask.config.fields.
const own = "config."

// NewConfig is a Config of these values. Each key may have "config." before it.
func NewConfig(values map[string]string) Config {
	return Config{&configState{values: maps.Clone(values), asked: make(map[string]bool)}}
}

// Over is c with settings of its host under its own: a plugin may ask for them, and those
// that it does not ask for are not misspelt.
func (c Config) Over(host map[string]string) Config {
	over := NewConfig(nil)
	if c.state != nil {
		over = NewConfig(c.state.values)
	}
	over.state.host = maps.Clone(host)
	return over
}

func (c Config) text(key string) (string, bool) {
	if c.state == nil {
		return "", false
	}
	c.state.asked[key] = true
	text, ok := c.state.values[key]
	if !ok {
		if text, ok = c.state.values[own+key]; ok {
			c.state.asked[own+key] = true
		} else {
			text, ok = c.state.host[key]
		}
	}
	return strings.TrimSpace(text), ok
}

func read[T any](c Config, key string, otherwise T, what string, parse func(string) (T, error)) T {
	text, ok := c.text(key)
	if !ok {
		return otherwise
	}
	value, err := parse(text)
	if err != nil {
		c.state.wrong = append(c.state.wrong, fmt.Errorf("%s=%s is not %s", key, text, what))
		return otherwise
	}
	return value
}

// String is the text of a key.
func (c Config) String(key, otherwise string) string {
	return read(c, key, otherwise, "text", func(s string) (string, error) { return s, nil })
}

// List is a comma-separated list; empty items are left out.
func (c Config) List(key string, otherwise ...string) []string {
	return read(c, key, otherwise, "a list", func(s string) ([]string, error) {
		var items []string
		for item := range strings.SplitSeq(s, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, item)
			}
		}
		return items, nil
	})
}

// Int is a whole number.
func (c Config) Int(key string, otherwise int64) int64 {
	return read(c, key, otherwise, "a whole number", func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) })
}

// Float is a number.
func (c Config) Float(key string, otherwise float64) float64 {
	return read(c, key, otherwise, "a number", func(s string) (float64, error) { return strconv.ParseFloat(s, 64) })
}

// Bool is true or false.
func (c Config) Bool(key string, otherwise bool) bool {
	return read(c, key, otherwise, "true or false", strconv.ParseBool)
}

// Duration is a time such as 250ms or 1m; a bare number counts milliseconds, as in Kafka.
func (c Config) Duration(key string, otherwise time.Duration) time.Duration {
	return read(c, key, otherwise, "a time such as 250ms", func(s string) (time.Duration, error) {
		if millis, err := strconv.ParseInt(s, 10, 64); err == nil {
			long := time.Duration(millis) * time.Millisecond
			if long.Milliseconds() != millis {
				return 0, strconv.ErrRange
			}
			return long, nil
		}
		return time.ParseDuration(s)
	})
}

// Below takes out all settings whose keys begin with prefix, and answers them by the rest of
// their keys: those that a plugin hands on to somebody who knows what they mean.
func (c Config) Below(prefix string) map[string]string {
	below := make(map[string]string)
	if c.state == nil {
		return below
	}
	for key, text := range c.state.values {
		if rest, ok := strings.CutPrefix(key, prefix); ok {
			below[rest] = strings.TrimSpace(text)
			delete(c.state.values, key)
		}
	}
	return below
}

// Wrong notes that what stands at a key cannot be used, and why.
func (c Config) Wrong(key, why string) {
	if c.state != nil {
		c.state.wrong = append(c.state.wrong, fmt.Errorf("%s: %s", key, why))
	}
}

// Err says everything that is wrong with the settings: values that cannot be read, and keys
// that nobody asked for.
func (c Config) Err() error {
	if c.state == nil {
		return nil
	}
	wrong := slices.Clone(c.state.wrong)
	for _, key := range slices.Sorted(maps.Keys(c.state.values)) {
		if !c.state.asked[key] {
			wrong = append(wrong, fmt.Errorf("unknown setting %q (there are: %s)", key, strings.Join(slices.Sorted(maps.Keys(c.state.asked)), ", ")))
		}
	}
	return errors.Join(wrong...)
}
