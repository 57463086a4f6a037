package intercept

import (
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/chain"
)

// The settings of a plugin that are the host's; all others are the plugin's own.
const (
	keyType       = "type"
	keyOnError    = "on.error"
	keyDeadLetter = "dlq.topic"
	keyFaults     = "breaker.faults"
	keyWindow     = "breaker.window.ms"
	keyCoolDown   = "breaker.cooldown.ms"
)

// confined are the plugins that open files which their settings name, and keyDir where they
// are told that those lie.
var confined = map[string]bool{"wasm": true, "json-schema": true, "audit-log": true}

const keyDir = "dir"

// plugin is one plugin as its settings want it, with an instance for each place.
type plugin struct {
	name      string
	texts     map[string]string // its settings, without "plugin.<name>."
	instances []sdk.Interceptor
	rules     chain.Plugin // of all instances
	failed    error        // why there are none
}

// textsOf are the settings of one plugin among all of them.
func textsOf(name string, all map[string]string) map[string]string {
	texts := map[string]string{}
	for key, text := range all {
		if rest, ok := strings.CutPrefix(key, "plugin."+name+"."); ok {
			texts[rest] = text
		}
	}
	return texts
}

// makePlugin makes a plugin with so many instances. What cannot be made has failed.
func makePlugin(name string, texts map[string]string, dir string, places int) *plugin {
	p := &plugin{name: name, texts: texts}
	if p.failed = p.make(dir, places); p.failed != nil {
		p.failed = fmt.Errorf("plugin %s: %w", name, p.failed)
		p.close()
		p.instances = nil
	}
	return p
}

func (p *plugin) make(dir string, places int) error {
	host, own := p.split()
	c := sdk.NewConfig(host)
	kind := c.String(keyType, p.name)
	p.rules = chain.Plugin{Name: p.name, DeadLetter: c.String(keyDeadLetter, "")}
	policy := c.String(keyOnError, chain.Fail.String())
	var err error
	if p.rules.OnError, err = chain.ParsePolicy(policy); err != nil {
		c.Wrong(keyOnError, err.Error())
	}
	faults := c.Int(keyFaults, 10)
	window, coolDown := c.Duration(keyWindow, 10*time.Second), c.Duration(keyCoolDown, 30*time.Second)
	if faults > 10_000 {
		c.Wrong(keyFaults, "at most 10000")
	}
	if err := c.Err(); err != nil {
		return err
	}
	if confined[kind] {
		own[keyDir] = dir // whatever settings say, which whoever may change them could point elsewhere
	}
	p.rules.Breaker = chain.NewBreaker(int(faults), window, coolDown)
	for range places {
		one, err := newInterceptor(kind, sdk.NewConfig(own))
		if err != nil {
			return err
		}
		p.instances = append(p.instances, one)
	}
	rules := p.rules
	rules.Interceptor = p.instances[0]
	return rules.Check()
}

// newInterceptor makes one instance. A panic of the plugin is an error.
func newInterceptor(kind string, c sdk.Config) (made sdk.Interceptor, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("interceptor %q: panic: %v", kind, cause)
		}
	}()
	return sdk.Interceptors.New(kind, c)
}

// split tells the host's settings from the plugin's.
func (p *plugin) split() (host, own map[string]string) {
	host, own = map[string]string{}, map[string]string{}
	for key, text := range p.texts {
		switch key {
		case keyType, keyOnError, keyDeadLetter, keyFaults, keyWindow, keyCoolDown:
			host[key] = text
		default:
			own[key] = text
		}
	}
	return host, own
}

// same reports whether the plugin is what those settings want.
func (p *plugin) same(texts map[string]string) bool {
	return p != nil && p.failed == nil && maps.Equal(p.texts, texts)
}

// close ends the instances that have something to end.
func (p *plugin) close() {
	for _, one := range p.instances {
		closeInstance(one)
	}
}

func closeInstance(one sdk.Interceptor) {
	defer func() { _ = recover() }() // it is not used any more, whatever it says
	if c, ok := one.(io.Closer); ok {
		_ = c.Close()
	}
}
