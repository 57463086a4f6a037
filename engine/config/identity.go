package config

import (
	"math"

	"github.com/millrace/millrace/sdk/setting"
)

// Identity.
var (
	NodeID = identity.Int(setting.Int{
		Name: "node.id", Synonyms: []string{"broker.id"}, Default: 1, Kafka: "must be given",
		Doc: "Number of this node, unique in its cluster. Kept in the data folders: a node refuses folders that belong to another.",
	})
	_ = identity.Int(setting.Int{
		Name: "broker.id", Synonyms: []string{"node.id"}, Default: -1, Min: math.MinInt32,
		Doc: "Older name of node.id, which wins when both are given.",
	})
	ClusterID = identity.String(setting.String{
		Name: "cluster.id", Null: true, Kafka: "no such setting",
		Doc: "Id of the cluster. Unset: made up at the first start and kept in the data folders. Given, it must match what they say.",
	})
	ProcessRoles = identity.List(setting.List{
		Name: "process.roles", Default: []string{"broker", "controller"}, Kafka: "must be given",
		Choices: []string{"broker", "controller"},
		Doc:     "Roles of this node. It is broker and controller at once; one role alone is refused for now.",
	})
	QuorumVoters = identity.List(setting.List{
		Name: "controller.quorum.voters", Allowed: "words of the form id@host:port",
		Check: checkVoters,
		Doc:   "Controllers that agree on the metadata, as id@host:port. This node must be the only one: more than one voter is refused for now.",
	})
	ControllerListeners = identity.List(setting.List{
		Name: "controller.listener.names",
		Doc:  "Listeners of the controller. They are not opened, since controller and broker are one process here, and clients never see them.",
	})
	_ = identity.String(setting.String{
		Name: "broker.rack", Null: true, Effect: setting.Ignored, Note: alone,
		Doc: "Rack of this broker, so that copies are spread over racks.",
	})
)

// Why a setting has no effect: said in one place each.
const (
	alone      = "this broker has no others to talk to yet"
	noSecurity = "there is no TLS yet, no delegation token, and of SASL nothing but PLAIN, SCRAM and what authenticators announce"
	noTwoPhase = "two-phase commit (KIP-939) is not there yet"
	cleanerOwn = "each folder of log.dirs has one worker, which reads and writes a mebibyte at a time"
	noShare    = "share and streams groups are not there yet"
	noRemote   = "there is no tiered storage yet"
	noQuota    = "there are no quotas yet"
	noReader   = "nothing here works that way"
	wontLoad   = "Java classes cannot be loaded, and going on without what this one decides would be unsafe; take the line out to do without it"
)
