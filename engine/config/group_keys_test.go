package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/config"
)

// A group's setting comes from the broker's of the name with "group." before it, as Apache Kafka 4.3.1 tells.
func TestDescribeGroupSaysWhereASettingComesFrom(t *testing.T) {
	const name = "consumer.heartbeat.interval.ms"
	for what, test := range map[string]struct {
		file  string
		given map[string]string
		want  string
	}{
		"by default":          {"", nil, "5000 (5): group.consumer.heartbeat.interval.ms=5000 (5)"},
		"the broker's":        {"group.consumer.heartbeat.interval.ms=6000", nil, "6000 (4): group.consumer.heartbeat.interval.ms=6000 (4), group.consumer.heartbeat.interval.ms=5000 (5)"},
		"the group's, at all": {"group.consumer.heartbeat.interval.ms=6000", map[string]string{name: "7000"}, "7000 (8): consumer.heartbeat.interval.ms=7000 (8), group.consumer.heartbeat.interval.ms=6000 (4), group.consumer.heartbeat.interval.ms=5000 (5)"},
	} {
		t.Run(what, func(t *testing.T) {
			all := config.DescribeGroup(broker(t, test.file), test.given, []string{name})
			if len(all) != 1 {
				t.Fatalf("%d settings are named so", len(all))
			}
			var synonyms []string
			for _, s := range all[0].Synonyms {
				synonyms = append(synonyms, fmt.Sprintf("%s=%s (%d)", s.Name, *s.Value, s.Source))
			}
			if got := fmt.Sprintf("%s (%d): %s", *all[0].Value, all[0].Source, strings.Join(synonyms, ", ")); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}
