package engine

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/security/acl"
	"github.com/millrace/millrace/sdk"
)

// answered is what one of those of whom a request spoke is answered.
type answered struct {
	name string
	code int16
}

// undecided are requests that the controller decides, and of whom each speaks.
var undecided = map[string]struct {
	ask  func(p *peer, s subject) []answered
	want []string
	code *kerr.Error
}{
	"CreateTopics":         {createEach, []string{"a", "b"}, kerr.NotController},
	"DeleteTopics":         {deleteEach, []string{"a", "b"}, kerr.NotController},
	"DeleteTopics by id":   {deleteEachByID, []string{"\x01", "kept", "\x02"}, kerr.NotController},
	"CreatePartitions":     {growEach, []string{"a", "b"}, kerr.NotController},
	"AlterConfigs":         {alterEach, []string{"a", "b"}, kerr.NotController},
	"Incremental…":         {alterEachAnew, []string{"a", "b"}, kerr.NotController},
	"CreateAcls":           {allowEach, []string{"", ""}, kerr.NotController},
	"DeleteAcls":           {forgetEach, []string{"", ""}, kerr.NotController},
	"AlterUserScram…":      {forgetPasswords, []string{"a", "b"}, kerr.NotController},
	"UpdateFeatures":       {updateEach, []string{""}, kerr.NotController},
	"InitProducerId":       {beginProducing, []string{""}, kerr.CoordinatorLoadInProgress},
	"InitProducerId, name": {beginTransactions, []string{""}, kerr.CoordinatorNotAvailable},
	"FindCoordinator":      {findEach, []string{"a", "b"}, kerr.CoordinatorNotAvailable},
	"Metadata that makes":  {mentionEach, []string{"a", "b"}, kerr.LeaderNotAvailable},
}

// What the controller did not even decide is answered for each of whom a request spoke, and not as if
// all was well.
func TestWhatCannotBeDecidedIsAnswered(t *testing.T) {
	onlyOurs(t)
	b := start(t, t.TempDir(), "authorizer.class.name="+acl.StandardName, "super.users=User:ANONYMOUS")
	p := dial(t, b.Addresses()[0])
	s := p.topicNamed("kept", 1)
	if err := b.quorum.Close(); err != nil {
		t.Fatal(err)
	}
	for name, test := range undecided {
		t.Run(name, func(t *testing.T) {
			var names []string
			for _, one := range test.ask(p.at(t), s) {
				names = append(names, one.name)
				if one.code != test.code.Code {
					t.Errorf("%q is answered %s, want %s", one.name, errorName(one.code), errorName(test.code.Code))
				}
			}
			if !slices.Equal(names, test.want) {
				t.Errorf("answered are %q, want %q", names, test.want)
			}
		})
	}
}

// Who may not see a topic learns nothing of it, and who may not delete it is told so, decision or none.
func TestWhatCannotBeDecidedIsNoSecretLess(t *testing.T) {
	onlyOurs(t)
	b := proving(t, "authorizer.class.name="+acl.StandardName, "super.users=User:ANONYMOUS")
	p := dial(t, b.Addresses()[0])
	s := p.topicNamed("kept", 1)
	p.permit("User:alice", right{sdk.OperationDelete, sdk.ResourceTopic, "hers"})
	alice := stranger(t, b)
	alice.proved(1, "\x00alice\x00alice-hush")
	if err := b.quorum.Close(); err != nil {
		t.Fatal(err)
	}
	q := kmsg.NewPtrDeleteTopicsRequest()
	q.Topics = []kmsg.DeleteTopicsRequestTopic{{TopicID: s.id}, {Topic: kmsg.StringPtr("kept")}, {Topic: kmsg.StringPtr("hers")}}
	got := map[string]int16{}
	for _, r := range ask[*kmsg.DeleteTopicsResponse](alice, 6, q).Topics {
		name := "by id"
		if r.Topic != nil {
			name = *r.Topic
		}
		got[name] = r.ErrorCode
	}
	want(t, "a topic by its id", got["by id"], kerr.TopicAuthorizationFailed)
	want(t, "a topic of others", got["kept"], kerr.TopicAuthorizationFailed)
	want(t, "her own", got["hers"], kerr.NotController)
	if len(got) != 3 {
		t.Errorf("answered %v", got)
	}
}

// A change that waited for its plugins, and can then not be decided any more, is not called wrong.
func TestAChangeThatWaitedIsNotRefusedForIt(t *testing.T) {
	onlyOurs(t)
	b := start(t, t.TempDir())
	answer := altering(t, b, "plugins=slow")
	first := <-making
	if err := b.quorum.Close(); err != nil {
		t.Fatal(err)
	}
	first <- nil
	if got := <-answer; got.code != kerr.NotController.Code {
		t.Errorf("%s: %s", errorName(got.code), got.why)
	}
}

func createEach(p *peer, _ subject) (all []answered) {
	q := kmsg.NewPtrCreateTopicsRequest()
	for _, name := range []string{"a", "b", "a"} {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = name, 1, 1
		q.Topics = append(q.Topics, t)
	}
	for _, r := range ask[*kmsg.CreateTopicsResponse](p, 7, q).Topics {
		all = append(all, answered{r.Topic, r.ErrorCode})
	}
	return all
}

func deleteEach(p *peer, _ subject) (all []answered) {
	q := kmsg.NewPtrDeleteTopicsRequest()
	q.TopicNames = []string{"a", "b", "a"}
	for _, r := range ask[*kmsg.DeleteTopicsResponse](p, 5, q).Topics {
		all = append(all, answered{*r.Topic, r.ErrorCode})
	}
	return all
}

func deleteEachByID(p *peer, s subject) (all []answered) {
	q := kmsg.NewPtrDeleteTopicsRequest()
	q.Topics = []kmsg.DeleteTopicsRequestTopic{{TopicID: [16]byte{1}}, {Topic: &s.name}, {TopicID: [16]byte{1}}, {TopicID: [16]byte{2}}, {Topic: &s.name}}
	for _, r := range ask[*kmsg.DeleteTopicsResponse](p, 6, q).Topics {
		name := string(r.TopicID[:1])
		if r.Topic != nil {
			name = *r.Topic
		}
		all = append(all, answered{name, r.ErrorCode})
	}
	return all
}

func growEach(p *peer, _ subject) (all []answered) {
	q := kmsg.NewPtrCreatePartitionsRequest()
	for _, name := range []string{"a", "b", "a"} {
		t := kmsg.NewCreatePartitionsRequestTopic()
		t.Topic, t.Count = name, 3
		q.Topics = append(q.Topics, t)
	}
	for _, r := range ask[*kmsg.CreatePartitionsResponse](p, 2, q).Topics {
		all = append(all, answered{r.Topic, r.ErrorCode})
	}
	return all
}

func alterEach(p *peer, _ subject) (all []answered) {
	q := kmsg.NewPtrAlterConfigsRequest()
	for _, name := range []string{"a", "b"} {
		r := kmsg.NewAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName = aTopic, name
		q.Resources = append(q.Resources, r)
	}
	for _, r := range ask[*kmsg.AlterConfigsResponse](p, 2, q).Resources {
		all = append(all, answered{r.ResourceName, r.ErrorCode})
	}
	return all
}

func alterEachAnew(p *peer, _ subject) (all []answered) {
	q := kmsg.NewPtrIncrementalAlterConfigsRequest()
	for _, name := range []string{"a", "b"} {
		r := kmsg.NewIncrementalAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName = aTopic, name
		q.Resources = append(q.Resources, r)
	}
	for _, r := range ask[*kmsg.IncrementalAlterConfigsResponse](p, 1, q).Resources {
		all = append(all, answered{r.ResourceName, r.ErrorCode})
	}
	return all
}

func allowEach(p *peer, _ subject) (all []answered) {
	q := kmsg.NewPtrCreateACLsRequest()
	for _, name := range []string{"a", "b"} {
		q.Creations = append(q.Creations, creation(acl.Allow, clientHost, right{sdk.OperationRead, sdk.ResourceTopic, name}))
	}
	for _, r := range ask[*kmsg.CreateACLsResponse](p, 2, q).Results {
		all = append(all, answered{"", r.ErrorCode})
	}
	return all
}

func forgetEach(p *peer, _ subject) (all []answered) {
	q := kmsg.NewPtrDeleteACLsRequest()
	for range 2 {
		f := kmsg.NewDeleteACLsRequestFilter()
		f.ResourceType, f.ResourcePatternType, f.Operation, f.PermissionType = kmsg.ACLResourceTypeAny, acl.AnyPattern, kmsg.ACLOperationAny, acl.AnyPermission
		q.Filters = append(q.Filters, f)
	}
	for _, r := range ask[*kmsg.DeleteACLsResponse](p, 2, q).Results {
		all = append(all, answered{"", r.ErrorCode})
	}
	return all
}

func forgetPasswords(p *peer, _ subject) (all []answered) {
	q := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
	for _, user := range []string{"a", "b", "a"} {
		one := kmsg.NewAlterUserSCRAMCredentialsRequestDeletion()
		one.Name, one.Mechanism = user, 1
		q.Deletions = append(q.Deletions, one)
	}
	for _, r := range ask[*kmsg.AlterUserSCRAMCredentialsResponse](p, 0, q).Results {
		all = append(all, answered{r.User, r.ErrorCode})
	}
	return all
}

func updateEach(p *peer, _ subject) []answered {
	q := kmsg.NewPtrUpdateFeaturesRequest()
	one := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
	one.Feature, one.MaxVersionLevel, one.UpgradeType = "transaction.version", 2, 1
	q.FeatureUpdates = append(q.FeatureUpdates, one)
	return []answered{{"", ask[*kmsg.UpdateFeaturesResponse](p, 1, q).ErrorCode}}
}

func beginProducing(p *peer, _ subject) []answered {
	return []answered{{"", ask[*kmsg.InitProducerIDResponse](p, 4, kmsg.NewPtrInitProducerIDRequest()).ErrorCode}}
}

func beginTransactions(p *peer, _ subject) []answered {
	q := kmsg.NewPtrInitProducerIDRequest()
	q.TransactionalID, q.TransactionTimeoutMillis = kmsg.StringPtr("a"), 1000
	return []answered{{"", ask[*kmsg.InitProducerIDResponse](p, 4, q).ErrorCode}}
}

func findEach(p *peer, _ subject) (all []answered) {
	q := kmsg.NewPtrFindCoordinatorRequest()
	q.CoordinatorKeys = []string{"a", "b"}
	for _, r := range ask[*kmsg.FindCoordinatorResponse](p, 4, q).Coordinators {
		all = append(all, answered{r.Key, r.ErrorCode})
	}
	return all
}

func mentionEach(p *peer, _ subject) (all []answered) {
	q := kmsg.NewPtrMetadataRequest()
	q.AllowAutoTopicCreation = true
	for _, name := range []string{"a", "b"} {
		q.Topics = append(q.Topics, kmsg.MetadataRequestTopic{Topic: &name})
	}
	for _, r := range ask[*kmsg.MetadataResponse](p, 9, q).Topics {
		all = append(all, answered{*r.Topic, r.ErrorCode})
	}
	return all
}
