package chain

import (
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/sdk"
)

// The settings of a plugin that are for its host: OfHost knows them.
const (
	keyType       = "type"
	keyOnError    = "on.error"
	keyDeadLetter = "dlq.topic"
	keyFaults     = "breaker.faults"
	keyWindow     = "breaker.window.ms"
	keyCoolDown   = "breaker.cooldown.ms"
	keyFaulting   = "fault.budget.ms"
	keyCalls      = "call.budget.ms"
)

// OfHost reports whether a setting of a plugin, without "plugin.<name>.", is for its host. All
// others are the plugin's own, whatever they are called.
func OfHost(key string) bool {
	switch key {
	case keyType, keyOnError, keyDeadLetter, keyFaults, keyWindow, keyCoolDown, keyFaulting, keyCalls:
		return true
	}
	return false
}

// Rules reads what the settings of a plugin, without "plugin.<name>.", say to its host: how
// its faults are treated, by which name it is registered, and what is left for itself. Calls that
// fail may take that much of each second unless they say otherwise; 0 is without a bound.
func Rules(name string, texts map[string]string, failing time.Duration) (rules Plugin, kind string, own map[string]string, err error) {
	host := map[string]string{}
	own = map[string]string{}
	for key, text := range texts {
		if OfHost(key) {
			host[key] = text
		} else {
			own[key] = text
		}
	}
	c := sdk.NewConfig(host)
	kind = c.String(keyType, name)
	rules = Plugin{Name: name, DeadLetter: c.String(keyDeadLetter, "")}
	if rules.OnError, err = ParsePolicy(c.String(keyOnError, Fail.String())); err != nil {
		c.Wrong(keyOnError, err.Error())
	}
	faults := c.Int(keyFaults, 10)
	window, coolDown := c.Duration(keyWindow, 10*time.Second), c.Duration(keyCoolDown, 30*time.Second)
	if faults > 10_000 {
		c.Wrong(keyFaults, "at most 10000")
	}
	rules.Breaker = NewBreaker(int(faults), window, coolDown)
	failing = share(c, keyFaulting, failing)
	calls := share(c, keyCalls, 0)
	rules.Faults = NewBudget(failing, fmt.Sprintf("its calls that failed took more than the %v of each second that they may: mend it, or raise plugin.%s.%s", failing, name, keyFaulting))
	rules.Calls = NewBudget(calls, fmt.Sprintf("its calls took more than the %v of each second that they may: make it faster, send it less, or raise plugin.%s.%s", calls, name, keyCalls))
	return rules, kind, own, c.Err()
}

// share is how much of each second something may take.
func share(c sdk.Config, key string, otherwise time.Duration) time.Duration {
	each := c.Duration(key, otherwise)
	if each < 0 || each > time.Second {
		c.Wrong(key, fmt.Sprintf("%v: use 0 to 1000 ms of each second, where 0 is without a bound", each))
	}
	return each
}

// Make makes an instance of a plugin that is registered by that name. A panic of it is an
// error.
func Make(kind string, c sdk.Config) (made sdk.Interceptor, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("interceptor %q: panic: %v", kind, cause)
		}
	}()
	return sdk.Interceptors.New(kind, c)
}

// Why dead letters cannot be had.
var (
	errConsumer    = errors.New("on.error=dlq is for brokers and producers: a consumer stores nothing, and would go past records whose dead letters are not stored; use fail or skip")
	errTransaction = errors.New("on.error=dlq cannot be had with transactional.id: dead letters would be there whether the transaction is committed or not; use fail or skip")
)

// CheckProducer says what is wrong with p in a producer, which may be one of transactions.
func (p *Plugin) CheckProducer(transactional bool) error {
	if transactional && p.OnError == DeadLetter {
		return fmt.Errorf("plugin %s: %w", p.Name, errTransaction)
	}
	return p.checkClient()
}

// CheckConsumer says what is wrong with p in a consumer.
func (p *Plugin) CheckConsumer() error {
	if p.OnError == DeadLetter {
		return fmt.Errorf("plugin %s: %w", p.Name, errConsumer)
	}
	return p.checkClient()
}

func (p *Plugin) checkClient() error {
	if only, ok := p.Interceptor.(sdk.BrokerOnly); ok {
		return fmt.Errorf("plugin %s: a client cannot run it: %s", p.Name, only.WhyBrokerOnly())
	}
	return p.Check()
}
