package topics

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/millrace/millrace/cmd/command/session"
)

// Pattern compiles a list of topics as Kafka's tools understand it: a regular
// expression that must match the whole name, in which a comma stands for "or".
func Pattern(list string) (*regexp.Regexp, error) {
	list = strings.ReplaceAll(strings.ReplaceAll(strings.TrimSpace(list), ",", "|"), " ", "")
	list = strings.Trim(list, `"'`)
	expression, err := regexp.Compile("^(?:" + list + ")$")
	if err != nil {
		return nil, fmt.Errorf("%s is an invalid regex.", list)
	}
	return expression, nil
}

// internal are the topics that Kafka's tools know as internal by name.
var internal = []string{"__consumer_offsets", "__transaction_state", "__share_group_state"}

// Internal reports whether the tools leave topic out with --exclude-internal.
func Internal(topic string) bool { return slices.Contains(internal, topic) }

// choose are the names among topics that match pattern ("": all), in order.
func choose(topics map[string]session.Topic, pattern string, excludeInternal bool) ([]string, error) {
	matches := func(string) bool { return true }
	if pattern != "" {
		expression, err := Pattern(pattern)
		if err != nil {
			return nil, err
		}
		matches = expression.MatchString
	}
	var names []string
	for name, topic := range topics {
		if excludeInternal && (topic.Internal || Internal(name)) || !matches(name) {
			continue
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// missing is the error of a pattern that matched nothing although it had to.
func missing(names []string, pattern string, must bool) error {
	if pattern != "" && must && len(names) == 0 {
		return fmt.Errorf("Topic '%s' does not exist as expected", pattern)
	}
	return nil
}
