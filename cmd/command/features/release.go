package features

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// release is a version of the metadata, and since which levels of other features come
// with it: what is not named is as in the release before.
type release struct {
	name  string
	level int16
	sets  map[string]int16
}

// Names are the features that releases set, in the order in which Kafka's tool prints them.
var Names = []string{"kraft.version", "transaction.version", "group.version", "eligible.leader.replicas.version", "share.version", "streams.version"}

const metadataVersion = "metadata.version"

// releases are those that Kafka 4.3 knows. The last is not finished there.
var releases = []release{
	{"3.3-IV3", 7, nil}, {"3.4-IV0", 8, nil}, {"3.5-IV0", 9, nil}, {"3.5-IV1", 10, nil}, {"3.5-IV2", 11, nil},
	{"3.6-IV0", 12, nil}, {"3.6-IV1", 13, nil}, {"3.6-IV2", 14, nil}, {"3.7-IV0", 15, nil}, {"3.7-IV1", 16, nil},
	{"3.7-IV2", 17, nil}, {"3.7-IV3", 18, nil}, {"3.7-IV4", 19, nil}, {"3.8-IV0", 20, nil},
	{"3.9-IV0", 21, map[string]int16{"kraft.version": 1}},
	{"4.0-IV0", 22, map[string]int16{"group.version": 1}}, {"4.0-IV1", 23, nil},
	{"4.0-IV2", 24, map[string]int16{"transaction.version": 2}}, {"4.0-IV3", 25, nil},
	{"4.1-IV0", 26, map[string]int16{"eligible.leader.replicas.version": 1}}, {"4.1-IV1", 27, nil},
	{"4.2-IV0", 28, map[string]int16{"share.version": 1}}, {"4.2-IV1", 29, map[string]int16{"streams.version": 1}},
	{"4.3-IV0", 30, nil}, {"4.4-IV0", 31, nil},
}

// latest is the newest release that is finished.
const latest = "4.3-IV0"

// most are the highest levels that Kafka 4.3 knows of each feature.
var most = map[string]int16{"kraft.version": 1, "transaction.version": 2, "group.version": 1, "eligible.leader.replicas.version": 1,
	"share.version": 1, "streams.version": 1}

// requirement is a level that another needs.
type requirement struct {
	feature string
	level   int16
}

var requirements = map[requirement][]requirement{
	{"eligible.leader.replicas.version", 1}: {{metadataVersion, 23}},
}

// find is the release called name: 4.0-IV1, or 4.0 or 4.0.1 for the last finished one of 4.0.
func find(name string) (int, error) {
	finished := slices.IndexFunc(releases, func(r release) bool { return r.name == latest })
	short := name
	if parts := strings.SplitN(name, ".", 3); len(parts) == 3 && !strings.Contains(name, "-") {
		short = parts[0] + "." + parts[1]
	}
	for i := len(releases) - 1; i >= 0; i-- {
		main, _, _ := strings.Cut(releases[i].name, "-")
		if releases[i].name == name || main == short && i <= finished {
			return i, nil
		}
	}
	var known []string
	for _, r := range releases {
		known = append(known, r.name)
	}
	return 0, fmt.Errorf("Unknown metadata.version '%s'. Supported metadata.version are: %s", name, strings.Join(known, ", "))
}

// at is the level of a feature that comes with a release.
func at(i int, feature string) int16 {
	for ; i >= 0; i-- {
		if level, ok := releases[i].sets[feature]; ok {
			return level
		}
	}
	return 0
}

// text is a level as people read it: that of the metadata has a name.
func text(feature string, level int16) string {
	if feature != metadataVersion {
		return strconv.Itoa(int(level))
	}
	for _, r := range releases {
		if r.level == level {
			return r.name
		}
	}
	return fmt.Sprintf("UNKNOWN [%d]", level)
}
