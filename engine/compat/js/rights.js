'use strict'
// What somebody may do, with KafkaJS: an administrator makes rules, and a user who had none meets what they say. Each
// denial must be the error that KafkaJS has a name for. It prints what was wrong and exits with 1.

const {
  Kafka, logLevel, Partitioners, AclResourceTypes, AclOperationTypes, AclPermissionTypes, ResourcePatternTypes, ConfigResourceTypes,
} = require('kafkajs')

const TOPIC = process.env.COMPAT_TOPIC
const [GROUP, TEAM] = [TOPIC + '-group', TOPIC + '-team-']
const USER = process.env.COMPAT_USER
const LIMIT = 20_000
const pause = millis => new Promise(resolve => setTimeout(resolve, millis))

const as = user => new Kafka({
  clientId: 'rights', brokers: [process.env.COMPAT_BOOTSTRAP], logLevel: logLevel.NOTHING, retry: { initialRetryTime: 50, retries: 5 },
  sasl: { mechanism: 'plain', username: user, password: user + '-secret' },
})
const [admin, other] = [as('admin').admin(), as(USER).admin()]

function expect (isTrue, otherwise) {
  if (!isTrue) throw new Error(otherwise)
}

// eventually asks until the answer is right: a cluster tells its brokers of a rule after it acknowledged it.
async function eventually (ask) {
  for (const end = Date.now() + 10_000; ; await pause(50)) {
    try {
      return await ask()
    } catch (e) {
      if (Date.now() > end) throw e
    }
  }
}

const typesOf = e => [e, e.cause, e.originalError, ...(e.errors || []), ...(e.groups || []).map(g => g.error)].filter(Boolean).flatMap(one => [one.type, one.name]).filter(Boolean)

// denied wants ask to fail with that error.
const denied = (type, doing, ask) => eventually(async () => {
  let found = 'no error'
  try {
    await ask()
  } catch (e) {
    if (typesOf(e).includes(type)) return
    found = `${e.name} ${typesOf(e)} ${e.message}`
  }
  throw new Error(`${doing}: ${found}, want ${type}`)
})

const allowed = (doing, ask) => eventually(async () => {
  try {
    await ask()
  } catch (e) {
    throw new Error(`${doing}: ${e.name} ${typesOf(e)} ${e.message}`)
  }
})

const rule = (resourceType, resourceName, operation, more = {}) => ({
  resourceType, resourceName, resourcePatternType: ResourcePatternTypes.LITERAL, principal: 'User:' + USER, host: '*', operation,
  permissionType: AclPermissionTypes.ALLOW, ...more,
})
const make = (...acl) => admin.createAcls({ acl })
const about = (resourceName, more = {}) => ({
  resourceType: AclResourceTypes.TOPIC, resourceName, resourcePatternType: ResourcePatternTypes.MATCH, principal: undefined, host: undefined,
  operation: AclOperationTypes.ANY, permissionType: AclPermissionTypes.ANY, ...more,
})

async function produce (topic, options = {}) {
  const producer = as(USER).producer({ createPartitioner: Partitioners.DefaultPartitioner, ...options })
  await producer.connect()
  try {
    if (!options.transactionalId) {
      await producer.send({ topic, messages: [{ value: 'x' }] })
      return
    }
    const transaction = await producer.transaction()
    await transaction.send({ topic, messages: [{ value: 'x' }] })
    await transaction.commit()
  } finally {
    await producer.disconnect()
  }
}

// consume reads a record in a group, or fails with what ends the consumer.
async function consume (topic, groupId) {
  const consumer = as(USER).consumer({ groupId, maxWaitTimeInMs: 100, heartbeatInterval: 300, retry: { retries: 1, restartOnFailure: async () => false } })
  await consumer.connect()
  let timer
  try {
    await consumer.subscribe({ topic, fromBeginning: true })
    await new Promise((resolve, reject) => {
      timer = setTimeout(() => reject(new Error('neither a record nor an error')), LIMIT)
      consumer.on(consumer.events.CRASH, ({ payload: { error } }) => reject(error))
      consumer.run({ autoCommitInterval: 100, eachMessage: async () => resolve() }).catch(reject)
    })
  } finally {
    clearTimeout(timer)
    await consumer.disconnect()
  }
}

async function withoutRules () {
  // What KafkaJS makes of a coordinator that it may not find is an error of its own.
  const [topic, group, cluster] = ['TOPIC_AUTHORIZATION_FAILED', 'KafkaJSGroupCoordinatorNotFound', 'CLUSTER_AUTHORIZATION_FAILED']
  expect(!(await other.listTopics()).some(name => name.startsWith(TOPIC)), 'topics that may not be seen are listed')
  expect(!(await other.listGroups()).groups.some(({ groupId }) => groupId.startsWith(TOPIC)), 'groups that may not be seen are listed')
  const configs = { includeSynonyms: false, resources: [{ type: ConfigResourceTypes.TOPIC, name: TOPIC }] }
  for (const [type, doing, ask] of [
    [topic, 'describe a topic', () => other.fetchTopicMetadata({ topics: [TOPIC] })],
    [topic, 'describe a topic that does not exist', () => other.fetchTopicMetadata({ topics: [TOPIC + '-nowhere'] })],
    [topic, 'produce', () => produce(TOPIC)],
    [topic, 'consume', () => consume(TOPIC, GROUP)],
    [topic, 'offsets of a topic', () => other.fetchTopicOffsets(TOPIC)],
    [group, 'describe a group', () => other.describeGroups([GROUP])],
    [group, 'delete a group', () => other.deleteGroups([GROUP])],
    [group, 'offsets of a group', () => other.fetchOffsets({ groupId: GROUP })],
    [topic, 'create a topic', () => other.createTopics({ topics: [{ topic: TOPIC + '-mine' }] })],
    [topic, 'delete a topic', () => other.deleteTopics({ topics: [TOPIC] })],
    [topic, 'settings of a topic', () => other.describeConfigs(configs)],
    [topic, 'add partitions', () => other.createPartitions({ topicPartitions: [{ topic: TOPIC, count: 2 }] })],
    [cluster, 'create a rule', () => other.createAcls({ acl: [rule(AclResourceTypes.TOPIC, TOPIC, AclOperationTypes.ALL)] })],
    [cluster, 'list rules', () => other.describeAcls(about())],
    [cluster, 'delete rules', () => other.deleteAcls({ filters: [about(TOPIC)] })],
  ]) await denied(type, doing, ask)
}

async function literalRules () {
  const topics = AclResourceTypes.TOPIC
  await make(rule(topics, TOPIC, AclOperationTypes.WRITE))
  await allowed('produce', () => produce(TOPIC))
  await allowed('produce idempotently', () => produce(TOPIC, { idempotent: true, maxInFlightRequests: 1 }))
  const transactional = { idempotent: true, maxInFlightRequests: 1, transactionalId: TOPIC }
  await denied('KafkaJSGroupCoordinatorNotFound', 'a transaction', () => produce(TOPIC, transactional))
  await make(rule(AclResourceTypes.TRANSACTIONAL_ID, TOPIC, AclOperationTypes.DESCRIBE))
  await denied('TRANSACTIONAL_ID_AUTHORIZATION_FAILED', 'a transaction that may be seen', () => produce(TOPIC, transactional))
  await denied('KafkaJSGroupCoordinatorNotFound', 'consume in a group', () => consume(TOPIC, GROUP))
  await make(rule(AclResourceTypes.GROUP, GROUP, AclOperationTypes.DESCRIBE))
  await denied('GROUP_AUTHORIZATION_FAILED', 'consume in a group that may be seen', () => consume(TOPIC, GROUP))
  await make(rule(AclResourceTypes.GROUP, GROUP, AclOperationTypes.READ))
  await denied('TOPIC_AUTHORIZATION_FAILED', 'consume what may only be written', () => consume(TOPIC, GROUP))
  await make(rule(topics, TOPIC, AclOperationTypes.READ))
  await allowed('consume', () => consume(TOPIC, GROUP))
  await allowed('describe a topic that may be read', () => other.fetchTopicMetadata({ topics: [TOPIC] }))
  await allowed('its offsets', () => other.fetchTopicOffsets(TOPIC))
  await make(rule(AclResourceTypes.TRANSACTIONAL_ID, TOPIC, AclOperationTypes.WRITE))
  await allowed('a transaction', () => produce(TOPIC, transactional))
  await make(rule(topics, TOPIC, AclOperationTypes.WRITE, { principal: 'User:*', permissionType: AclPermissionTypes.DENY }))
  await denied('TOPIC_AUTHORIZATION_FAILED', 'produce what is allowed and denied', () => produce(TOPIC))
}

async function prefixedRules () {
  const resourcePatternType = ResourcePatternTypes.PREFIXED
  await make(rule(AclResourceTypes.TOPIC, TEAM, AclOperationTypes.ALL, { resourcePatternType }), rule(AclResourceTypes.GROUP, TEAM, AclOperationTypes.READ, { resourcePatternType }))
  for (const where of [TEAM + 'one', TEAM + 'two']) {
    await allowed('create ' + where, () => other.createTopics({ topics: [{ topic: where }] }))
    await allowed('produce to ' + where, () => produce(where))
    await allowed('consume from ' + where, () => consume(where, TEAM + where))
  }
  await denied('TOPIC_AUTHORIZATION_FAILED', 'create one with another prefix', () => other.createTopics({ topics: [{ topic: TOPIC + '-tea' }] }))
  await make(rule(AclResourceTypes.TOPIC, TEAM + 'two', AclOperationTypes.READ, { permissionType: AclPermissionTypes.DENY }))
  await denied('TOPIC_AUTHORIZATION_FAILED', 'consume what a prefix allows and a name denies', () => consume(TEAM + 'two', TEAM + 'again'))
  await allowed('consume from the other', () => consume(TEAM + 'one', TEAM + 'again'))
  await make(rule(AclResourceTypes.TOPIC, TEAM + 'o', AclOperationTypes.WRITE, { resourcePatternType, permissionType: AclPermissionTypes.DENY, host: '192.0.2.1' }))
  await allowed('produce what is denied from another host', () => produce(TEAM + 'one'))
}

const lines = resources => resources.flatMap(({ resourceType, resourceName, resourcePatternType, acls }) =>
  acls.map(({ operation, permissionType }) => [resourceType, resourceName, resourcePatternType, operation, permissionType].join())).sort().join(' ')

async function administration () {
  const { resources } = await admin.describeAcls(about(TEAM + 'two', { principal: 'User:' + USER }))
  const want = `2,${TEAM},4,2,3 2,${TEAM}two,3,3,2`
  expect(lines(resources) === want, `about a name, and its prefixes: ${lines(resources)}, want ${want}`)
  const everything = { resourceType: AclResourceTypes.ANY, resourcePatternType: ResourcePatternTypes.ANY }
  expect((await admin.describeAcls(about(undefined, { ...everything, principal: 'User:nobody' }))).resources.length === 0, 'rules about nobody')
  for (const wrong of [rule(AclResourceTypes.TOPIC, '', AclOperationTypes.READ), rule(AclResourceTypes.TOPIC, TOPIC, AclOperationTypes.READ, { principal: 'nobody' })]) {
    await denied('INVALID_REQUEST', 'make ' + JSON.stringify(wrong), () => make(wrong))
  }
  const { filterResponses: [gone] } = await admin.deleteAcls({ filters: [about(TEAM + 'two', { resourcePatternType: ResourcePatternTypes.LITERAL })] })
  expect(gone.matchingAcls.length === 1 && gone.matchingAcls[0].resourceName === TEAM + 'two' && gone.matchingAcls[0].permissionType === AclPermissionTypes.DENY, 'deleted ' + JSON.stringify(gone))
  await allowed('consume what is denied no more', () => consume(TEAM + 'two', TEAM + 'third'))
  await admin.deleteAcls({
    filters: [about(undefined, { ...everything, principal: 'User:' + USER }), about(TOPIC, { ...everything, principal: 'User:*' })],
  })
  await denied('TOPIC_AUTHORIZATION_FAILED', 'produce without its rule', () => produce(TEAM + 'one'))
  const left = (await admin.describeAcls(about(undefined, { ...everything, principal: 'User:' + USER }))).resources
  expect(left.length === 0, 'rules that were deleted are left: ' + JSON.stringify(left))
}

async function main () {
  await admin.connect()
  await admin.createTopics({ waitForLeaders: true, topics: [{ topic: TOPIC }] })
  await other.connect()
  for (const check of [withoutRules, literalRules, prefixedRules, administration]) {
    const begin = Date.now()
    await check()
    console.log(`${check.name}: ${((Date.now() - begin) / 1000).toFixed(1)} s`)
  }
}

main().then(() => process.exit(0), e => {
  console.log(e.name, e.message)
  process.exit(1)
})
