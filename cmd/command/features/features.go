// Package features shows and changes which versions of its features a cluster has
// finalized (KIP-584), and tells what belongs to a release.
//
// What a release sets is Kafka's table: a cluster decides for itself whether it goes along.
package features

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/cmd/command/session"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Describe prints what the brokers support and what is finalized. A node, when it is
// given, is the one that is asked.
func Describe(ctx context.Context, s *session.Session, node *int32) error {
	request := kmsg.NewPtrApiVersionsRequest()
	request.ClientSoftwareName, request.ClientSoftwareVersion = "millrace", "1"
	var answer *kmsg.ApiVersionsResponse
	var err error
	if node == nil {
		answer, err = request.RequestWith(ctx, s.Client)
	} else {
		answer, err = request.RequestWith(ctx, s.Client.Broker(int(*node)))
	}
	if err == nil {
		err = kerr.ErrorForCode(answer.ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("describe features: %w", err)
	}
	finalized := map[string]int16{}
	for _, f := range answer.FinalizedFeatures {
		finalized[f.Name] = f.MaxVersionLevel
	}
	epoch := "-"
	if answer.FinalizedFeaturesEpoch >= 0 {
		epoch = strconv.FormatInt(answer.FinalizedFeaturesEpoch, 10)
	}
	slices.SortFunc(answer.SupportedFeatures, func(a, b kmsg.ApiVersionsResponseSupportedFeature) int { return strings.Compare(a.Name, b.Name) })
	for _, f := range answer.SupportedFeatures {
		fmt.Fprintf(s.Out, "Feature: %-42sSupportedMinVersion: %-17sSupportedMaxVersion: %-17sFinalizedVersionLevel: %-17sEpoch: %s\n",
			f.Name, text(f.Name, f.MinVersion), text(f.Name, f.MaxVersion), text(f.Name, finalized[f.Name]), epoch)
	}
	return nil
}

// Operation is what is done to features.
type Operation string

// The operations.
const (
	Upgrade   Operation = "upgrade"
	Downgrade Operation = "downgrade"
	Disable   Operation = "disable"
)

// Change says which features to set to which levels.
type Change struct {
	Operation
	// Release sets all that belong to a release, Metadata the version of the metadata by
	// its name. Features are feature=level, or feature alone with Disable.
	Release, Metadata string
	Features          []string
	Unsafe, DryRun    bool
}

// parse reads feature=level.
func parse(text string) (string, int16, error) {
	name, level, ok := strings.Cut(text, "=")
	if !ok {
		return "", 0, fmt.Errorf("Can't parse feature=level string %s: equals sign not found.", text)
	}
	level = strings.TrimSpace(level)
	n, err := strconv.ParseInt(level, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("Can't parse feature=level string %s: unable to parse %s as a short.", text, level)
	}
	return strings.TrimSpace(name), int16(n), nil
}

// Levels are the levels that the change asks for. Mistakes are told in Kafka's words.
func (c *Change) Levels() (map[string]int16, error) {
	levels := map[string]int16{}
	if c.Release != "" {
		if c.Metadata != "" || len(c.Features) > 0 {
			return nil, errors.New("Can not specify `release-version` with other feature flags.")
		}
		i, err := find(c.Release)
		if err != nil {
			return nil, err
		}
		levels[metadataVersion] = releases[i].level
		for _, name := range Names {
			if level := at(i, name); level > 0 || c.Operation == Downgrade {
				levels[name] = level
			}
		}
	}
	if c.Metadata != "" {
		i, err := find(c.Metadata)
		if err != nil {
			return nil, err
		}
		levels[metadataVersion] = releases[i].level
	}
	for _, text := range c.Features {
		name, level := text, int16(0)
		var err error
		if c.Operation != Disable {
			name, level, err = parse(text)
		}
		if err != nil {
			return nil, err
		}
		if _, twice := levels[name]; twice {
			return nil, fmt.Errorf("Feature %s was specified more than once.", name)
		}
		levels[name] = level
	}
	if len(levels) == 0 {
		return nil, fmt.Errorf("You must specify at least one feature to %s", c.Operation)
	}
	return levels, nil
}

// The kinds of change in UpdateFeatures.
const (
	typeUpgrade         = 1
	typeSafeDowngrade   = 2
	typeUnsafeDowngrade = 3
)

// Update changes the features, all or none, and prints what became of each.
func Update(ctx context.Context, s *session.Session, c Change) error {
	levels, err := c.Levels()
	if err != nil {
		return err
	}
	request := kmsg.NewPtrUpdateFeaturesRequest()
	request.ValidateOnly = c.DryRun
	names := slices.Sorted(maps.Keys(levels))
	for _, name := range names {
		update := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
		update.Feature, update.MaxVersionLevel, update.UpgradeType = name, levels[name], typeUpgrade
		if c.Operation != Upgrade {
			update.UpgradeType, update.AllowDowngrade = typeSafeDowngrade, true
			if c.Unsafe {
				update.UpgradeType = typeUnsafeDowngrade
			}
		}
		request.FeatureUpdates = append(request.FeatureUpdates, update)
	}
	answer, err := request.RequestWith(ctx, s.Client)
	if err != nil {
		return fmt.Errorf("update features: %w", err)
	}
	refused := refusals(answer)
	failures := 0
	for _, name := range names {
		what := fmt.Sprintf("%s to %d", name, levels[name])
		done := fmt.Sprintf("%sd to %d.", c.Operation, levels[name])
		if c.Operation == Disable {
			what, done = name, "disabled."
		}
		if err := refused(name); err != nil {
			failures++
			fmt.Fprintf(s.Out, "%s %s %s. %s\n", choose(c.DryRun, "Can not", "Could not"), c.Operation, what, session.Message(err))
			continue
		}
		fmt.Fprintf(s.Out, "%s %s %s\n", name, choose(c.DryRun, "can be", "was"), done)
	}
	if failures > 0 {
		return fmt.Errorf("%d out of %d operation(s) failed.", failures, len(names))
	}
	return nil
}

func choose(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// refusals tells why a feature was not changed: for a reason of its own, or because none was.
func refusals(answer *kmsg.UpdateFeaturesResponse) func(string) error {
	refused := func(code int16, text *string) error {
		if text == nil {
			return session.Refused(kerr.ErrorForCode(code), "")
		}
		return session.Refused(kerr.ErrorForCode(code), *text)
	}
	return func(name string) error {
		if err := refused(answer.ErrorCode, answer.ErrorMessage); err != nil {
			return err
		}
		for _, one := range answer.Results {
			if one.Feature == name {
				return refused(one.ErrorCode, one.ErrorMessage)
			}
		}
		return nil
	}
}

// Mapping prints the levels that belong to a release; "" is the newest finished one.
func Mapping(w io.Writer, name string) error {
	if name == "" {
		name = latest
	}
	i, err := find(name)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s=%d (%s)\n", metadataVersion, releases[i].level, name)
	for _, feature := range Names {
		fmt.Fprintf(w, "%s=%d\n", feature, at(i, feature))
	}
	return nil
}

// Dependencies prints which levels of others a feature=level needs.
func Dependencies(w io.Writer, all []string) error {
	for _, one := range all {
		name, level, err := parse(one)
		if err != nil {
			return err
		}
		highest, known := most[name]
		if name != metadataVersion && !known {
			return fmt.Errorf("Unknown feature: %s", name)
		}
		isRelease := slices.ContainsFunc(releases, func(r release) bool { return r.level == level })
		switch {
		case name == metadataVersion && !isRelease:
			return fmt.Errorf("Unknown metadata.version %d", level)
		case name != metadataVersion && (level < 0 || level > highest):
			return fmt.Errorf("No feature:%s with feature level %d", name, level)
		}
		needs := requirements[requirement{name, level}]
		if len(needs) == 0 {
			fmt.Fprintln(w, named(name, level)+" has no dependencies.")
			continue
		}
		fmt.Fprintln(w, named(name, level)+" requires:")
		for _, need := range needs {
			fmt.Fprintln(w, "    "+named(need.feature, need.level))
		}
	}
	return nil
}

// named is feature=level, with the name of the release for the metadata's.
func named(feature string, level int16) string {
	if feature == metadataVersion {
		return fmt.Sprintf("%s=%d (%s)", feature, level, text(feature, level))
	}
	return fmt.Sprintf("%s=%d", feature, level)
}
