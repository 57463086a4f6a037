package engine

import (
	"fmt"
	"path/filepath"

	"github.com/millrace/millrace/engine/api"
	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/engine/intercept"
	"github.com/millrace/millrace/engine/shard"
	"github.com/millrace/millrace/sdk/setting"
)

var _ api.Later = (*intercept.Pending)(nil)

// wantedPlugins is what settings say about plugins.
func wantedPlugins(v *setting.Values) intercept.Wanted {
	return intercept.Wanted{Names: config.Plugins.Of(v), Texts: v.Family(config.PluginPrefix)}
}

// pluginDir is the folder in which the files of plugins lie.
func pluginDir(v *setting.Values) string {
	if dir := config.PluginDir.Of(v); dir != "" {
		return dir
	}
	return filepath.Join(config.LogDirs.Of(v)[0], "plugins")
}

// addFilters gives the settings of a topic its interceptors.
func (b *Broker) addFilters(s *shard.Settings, t *cluster.Topic, v *setting.Values) {
	if t.Internal {
		return
	}
	s.Produce = b.plugins.Filter(t.Name, config.Interceptors.Of(v), false)
	s.Fetch = b.plugins.Filter(t.Name, config.FetchInterceptors.Of(v), true)
}

// checkPlugins refuses settings that name plugins which cannot be had. It runs within
// decisions of the controller, on the goroutine that applies metadata. While plugins are being
// made the error is an api.Later.
func (b *Broker) checkPlugins(i *cluster.Image, w *cluster.Whole) error {
	switch w.Kind {
	case cluster.TopicConfig:
		return b.checkTopicPlugins(b.plugins.Current(), w.Settings)
	case cluster.BrokerConfig:
		own, all := i.BrokerConfigs(b.NodeID()), i.BrokerConfigs("")
		if w.Name == "" {
			all = w.Settings
		} else {
			own = w.Settings
		}
		v := b.settings.Values.With(own, all)
		set, err := b.plugins.Plan(wantedPlugins(v), w.Named)
		if err == nil {
			err = b.checkSet(i, v, set)
		}
		if err == nil && !w.ValidateOnly {
			set.Accept()
		}
		return err
	}
	return nil
}

func (b *Broker) checkTopicPlugins(set *intercept.Set, settings map[string]string) error {
	v := b.settings.Values.Topic(settings)
	for topic, names := range map[string][]string{
		config.TopicProduceInterceptors: config.Interceptors.Of(v), config.TopicFetchInterceptors: config.FetchInterceptors.Of(v),
	} {
		if _, given := settings[topic]; !given {
			continue
		}
		if err := set.Check(names, topic == config.TopicFetchInterceptors); err != nil {
			return fmt.Errorf("%s: %w", topic, err)
		}
	}
	return nil
}

// checkSet looks whether what topics use is among the plugins that the settings of all brokers
// want, and whether their dead-letter topics are there.
func (b *Broker) checkSet(i *cluster.Image, v *setting.Values, set *intercept.Set) error {
	same := config.SameInterceptors(v, b.values.Load())
	if set == b.plugins.Current() && same {
		return nil
	}
	before := b.plugins.Current().DeadLetters()
	for plugin, topic := range set.DeadLetters() {
		if before[plugin] == topic {
			continue // if it was deleted since, that is no reason against other changes
		}
		if t := i.Topic(topic); t == nil || t.Internal {
			return fmt.Errorf("plugin.%s.dlq.topic=%s: there is no such topic, create it first", plugin, topic)
		}
	}
	if !same {
		if err := set.Check(config.Interceptors.Of(v), false); err != nil {
			return fmt.Errorf("interceptors: %w", err)
		}
	}
	for _, t := range i.Topics() {
		own := v.Topic(t.Configs)
		if err := set.Lost(b.plugins.Current(), config.Interceptors.Of(own), false); err != nil {
			return fmt.Errorf("topic %s, interceptors.produce: %w", t.Name, err)
		}
		if err := set.Lost(b.plugins.Current(), config.FetchInterceptors.Of(own), true); err != nil {
			return fmt.Errorf("topic %s, interceptors.fetch: %w", t.Name, err)
		}
	}
	return nil
}
