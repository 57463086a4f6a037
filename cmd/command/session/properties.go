package session

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/millrace/millrace/sdk/setting"
)

// Properties are client settings by Kafka's names.
type Properties map[string]string

// Load adds what the .properties file at path holds.
func (p Properties) Load(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read properties: %w", err)
	}
	all, err := setting.ParseProperties(string(text))
	if err != nil {
		return fmt.Errorf("read properties %s: %w", path, err)
	}
	for _, one := range all {
		p[one.Key] = one.Value
	}
	return nil
}

// Merge adds pairs of the form name=value; a name alone gets an empty value.
func (p Properties) Merge(pairs []string) {
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		p[name] = value
	}
}

// Default sets name unless it is there already.
func (p Properties) Default(name, value string) {
	if _, ok := p[name]; !ok {
		p[name] = value
	}
}

// names are the property names in order, so that warnings come in order too.
func (p Properties) names() []string {
	names := make([]string, 0, len(p))
	for name := range p {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
