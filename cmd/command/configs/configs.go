package configs

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/cmd/command/session"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Describe prints the settings of an entity: those set for just it, or with all
// every one that holds for it.
func Describe(ctx context.Context, s *session.Session, entity Entity, all bool) error {
	names := []string{entity.Name}
	var err error
	if entity.All {
		if names, err = everyName(ctx, s, entity.Type); err != nil {
			return err
		}
	} else if !all {
		there, err := exists(ctx, s, entity)
		if err != nil {
			return err
		}
		if !there {
			fmt.Fprintf(s.Out, "The %s '%s' doesn't exist and doesn't have dynamic config.\n", entity.singular(), entity.Name)
			return nil
		}
	}
	for _, name := range names {
		one := Entity{Type: entity.Type, Name: name}
		switch {
		case name == "":
			fmt.Fprintf(s.Out, "Default configs for %s in the cluster are:\n", entity.Type)
		case all:
			fmt.Fprintf(s.Out, "All configs for %s %s are:\n", one.singular(), name)
		default:
			fmt.Fprintf(s.Out, "Dynamic configs for %s %s are:\n", one.singular(), name)
		}
		if err := describeOne(ctx, s, one, all); err != nil {
			return err
		}
	}
	return nil
}

// everyName lists the entities of a type; brokers have a default beside them.
func everyName(ctx context.Context, s *session.Session, kind string) ([]string, error) {
	switch kind {
	case "topics":
		topics, err := s.Topics(ctx)
		var names []string
		for name := range topics {
			names = append(names, name)
		}
		slices.Sort(names)
		return names, err
	case "brokers", "broker-loggers":
		names, err := brokers(ctx, s)
		return append(names, ""), err
	case "groups":
		return groups(ctx, s)
	}
	return resources(ctx, s, kind)
}

func exists(ctx context.Context, s *session.Session, entity Entity) (bool, error) {
	if entity.Name == "" {
		return true, nil
	}
	names, err := everyName(ctx, s, entity.Type)
	return slices.Contains(names, entity.Name), err
}

func brokers(ctx context.Context, s *session.Session) ([]string, error) {
	all, err := s.Admin.ListBrokers(ctx)
	if err != nil {
		return nil, fmt.Errorf("list brokers: %w", err)
	}
	var names []string
	for _, id := range all.NodeIDs() {
		names = append(names, fmt.Sprint(id))
	}
	return names, nil
}

// groups are the groups that live and those that only have settings.
func groups(ctx context.Context, s *session.Session) ([]string, error) {
	listed, err := s.Admin.ListGroups(ctx)
	if err != nil {
		return nil, fmt.Errorf("list groups: %w", err)
	}
	names := listed.Groups()
	if s.Supports(kmsg.ListConfigResources) {
		more, err := resources(ctx, s, "groups")
		if err != nil {
			return nil, err
		}
		names = append(names, more...)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// resources lists the entities of a type that have settings.
func resources(ctx context.Context, s *session.Session, kind string) ([]string, error) {
	if !s.Supports(kmsg.ListConfigResources) {
		return nil, s.ErrUnsupported(kmsg.ListConfigResources)
	}
	resource, _, _ := Entity{Type: kind}.resource()
	request := kmsg.NewPtrListConfigResourcesRequest()
	request.ResourceTypes = append(request.ResourceTypes, int8(resource))
	response, err := request.RequestWith(ctx, s.Client)
	if err == nil {
		err = kerr.ErrorForCode(response.ErrorCode)
	}
	if err != nil {
		return nil, fmt.Errorf("list the %s that have settings: %w", kind, err)
	}
	var names []string
	for _, one := range response.ConfigResources {
		names = append(names, one.Name)
	}
	slices.Sort(names)
	return names, nil
}

func describeOne(ctx context.Context, s *session.Session, entity Entity, all bool) error {
	kind, own, ok := entity.resource()
	if !ok {
		return fmt.Errorf("Invalid entity type: %s", entity.Type)
	}
	request := kmsg.NewPtrDescribeConfigsRequest()
	request.IncludeSynonyms = true
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kind, entity.Name
	request.Resources = append(request.Resources, resource)
	response, err := request.RequestWith(ctx, s.Client)
	if err != nil {
		return fmt.Errorf("describe configs: %w", err)
	}
	for _, answer := range response.Resources {
		if err := session.Refused(kerr.ErrorForCode(answer.ErrorCode), text(answer.ErrorMessage)); err != nil {
			return err
		}
		slices.SortFunc(answer.Configs, func(a, b kmsg.DescribeConfigsResponseResourceConfig) int { return strings.Compare(a.Name, b.Name) })
		for _, c := range answer.Configs {
			if all || c.Source == own || entity.Type == "broker-loggers" {
				fmt.Fprintln(s.Out, line(c))
			}
		}
	}
	return nil
}

// line is one setting with all the places where a value was given for it.
func line(c kmsg.DescribeConfigsResponseResourceConfig) string {
	synonyms := make([]string, len(c.ConfigSynonyms))
	for i, one := range c.ConfigSynonyms {
		synonyms[i] = fmt.Sprintf("%s:%s=%s", source(one.Source), one.Name, value(one.Value))
	}
	return fmt.Sprintf("  %s=%s sensitive=%t synonyms={%s}", c.Name, value(c.Value), c.IsSensitive, strings.Join(synonyms, ", "))
}

// source is the name of a source of settings.
func source(s kmsg.ConfigSource) string {
	switch s {
	case kmsg.ConfigSourceGroupConfig:
		return "DYNAMIC_GROUP_CONFIG"
	case kmsg.ConfigSourceClientMetricsConfig:
		return "DYNAMIC_CLIENT_METRICS_CONFIG"
	}
	return s.String()
}

// Alter changes the settings of an entity.
func Alter(ctx context.Context, s *session.Session, entity Entity, changes []Change) error {
	kind, _, ok := entity.resource()
	if !ok {
		return fmt.Errorf("Invalid entity type: %s", entity.Type)
	}
	if !s.Supports(kmsg.IncrementalAlterConfigs) {
		return s.ErrUnsupported(kmsg.IncrementalAlterConfigs)
	}
	request := kmsg.NewPtrIncrementalAlterConfigsRequest()
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kind, entity.Name
	for _, change := range changes {
		one := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		one.Name, one.Value = change.Name, kmsg.StringPtr(change.Value)
		if change.Remove {
			one.Op = kmsg.IncrementalAlterConfigOpDelete
		}
		resource.Configs = append(resource.Configs, one)
	}
	request.Resources = append(request.Resources, resource)
	response, err := request.RequestWith(ctx, s.Client)
	if err != nil {
		return fmt.Errorf("alter configs: %w", err)
	}
	for _, answer := range response.Resources {
		if err := session.Refused(kerr.ErrorForCode(answer.ErrorCode), text(answer.ErrorMessage)); err != nil {
			return err
		}
	}
	completed(s, entity)
	return nil
}

func completed(s *session.Session, entity Entity) {
	if entity.Name != "" {
		fmt.Fprintf(s.Out, "Completed updating config for %s %s.\n", entity.singular(), entity.Name)
		return
	}
	fmt.Fprintf(s.Out, "Completed updating default config for %s in the cluster.\n", entity.Type)
}

func text(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

func value(p *string) string {
	if p == nil {
		return "null"
	}
	return *p
}
