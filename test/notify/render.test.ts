import { readdir, readFile } from 'node:fs/promises'
import { test } from 'tap'
import type { Canary, CanaryAnalysis } from '#api/canary.ts'
import { alertOf, type Alert, type NewsItem } from '#notify/alert.ts'
import { destinationOf, type Delivery, type Destination } from '#notify/provider.ts'
import { NOTIFY_PROVIDERS, notifyProvider } from '#notify/registry.ts'

const NOW = Date.parse('2026-03-01T10:00:00.000Z')

const canaryWith = (analysis: CanaryAnalysis = { threshold: 5, stepWeight: 10, maxWeight: 50 }, change: Partial<Canary['spec']> = {}): Canary => ({
  apiVersion: 'flagger.app/v1beta1', kind: 'Canary', metadata: { name: 'shop', namespace: 'prod' },
  spec: { targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'shop-web' }, analysis, ...change },
  status: { lastAppliedSpec: '1abc' },
})
const news = (reason: string, severity: NewsItem['severity'] = 'info', message = 'told by the event'): NewsItem => ({ reason, message, ...(severity ? { severity } : {}) })
const alert = (change: Partial<Alert> = {}): Alert => ({
  canary: { name: 'shop', namespace: 'prod' }, severity: 'error', reason: 'CanaryThresholdReached', message: 'Failed checks threshold reached 5',
  fields: [], revision: '1abc', at: NOW, ...change,
})
const started = alert({
  severity: 'info', reason: 'CanaryStarted', message: 'New revision detected, progressing canary analysis.',
  fields: [{ name: 'Target', value: 'Deployment/shop-web.prod' }, { name: 'Traffic routing', value: 'Weight step: 10 max: 50' }],
})
const to = (type: string, change: Partial<Destination> = {}): Destination =>
  ({ type, address: 'https://chat.example.org/hook/abc', channel: 'general', username: 'flagger', secret: {}, ...change })
const render = (one: Alert, destination: Destination): Delivery => notifyProvider(destination.type)?.render(one, destination) ?? { kind: 'fault', reason: 'unknown' }
const json = { 'content-type': 'application/json' }

const texts = [
  { reason: 'CanaryInitialized', says: 'New Deployment detected, initialization completed.' },
  { reason: 'CanaryStarted', says: 'New revision detected, progressing canary analysis.' },
  { reason: 'CanarySucceeded', says: 'Canary analysis completed successfully, promotion finished.' },
  { reason: 'CanarySucceeded', spec: { skipAnalysis: true }, says: 'Canary analysis was skipped, promotion finished.' },
  { reason: 'CanarySucceeded', status: { gate: { bypass: 'by alice: hotfix' } }, says: 'Canary was promoted without an analysis to its end (by alice: hotfix), promotion finished.' },
  { reason: 'CanaryTerminating', says: 'Canary is being deleted in mid-run: the stable revision serves on.' },
  { reason: 'CanaryAwaitingApproval', says: 'Canary is waiting for approval.' },
  { reason: 'CanaryAwaitingPromotion', says: 'Canary promotion is waiting for approval.' },
  { reason: 'CanaryIncreaseHeld', says: 'Canary traffic increase is waiting for approval.' },
  { reason: 'CanaryRollbackRequested', says: 'Rolling back manual webhook invoked' },
  { reason: 'CanaryThresholdReached', says: 'Failed checks threshold reached 5' },
  { reason: 'CanaryPromotionFailed', message: 'Promotion of shop-web.prod failed, primary not ready: pod x crashes', says: 'Promotion failed, primary not ready: pod x crashes' },
  { reason: 'CanaryProvedWorse', says: 'told by the event' },
]
for (const { reason, spec = {}, status, message, says } of texts as readonly { reason: string; spec?: Partial<Canary['spec']>; status?: Canary['status']; message?: string; says: string }[]) {
  test(`${reason}${'skipAnalysis' in spec ? ' without analysis' : ''} is told as: ${says}`, async (t) => {
    const canary = { ...canaryWith(undefined, spec), status: { lastAppliedSpec: '1abc', ...status } }
    t.match(alertOf(canary, news(reason, 'info', message), { at: NOW }), { message: says, reason, revision: '1abc', at: NOW })
  })
}

test('each reason that has words of its own here is one that a rollout gives', async (t) => {
  const files = await Promise.all((await readdir('src/rollout')).map((name) => readFile(`src/rollout/${name}`, 'utf8')))
  const given = new Set(files.flatMap((text) => [...text.matchAll(/'(Canary[A-Z]\w+)'/g)].map(([, reason]) => reason)))
  t.same(texts.map(({ reason }) => reason).filter((reason) => !given.has(reason)), [])
})

test('an alert names the revision that it speaks of, not the one before', async (t) => {
  t.match(alertOf(canaryWith(), { ...news('CanaryStarted'), status: { lastAppliedSpec: '2def' } }, { at: NOW }), { revision: '2def' })
})

test('a threshold that is reached tells the last failed check to those who need not get Flagger\'s bytes', async (t) => {
  const status = { lastAppliedSpec: '2def', gate: { reason: 'Halt shop.prod advancement success rate 92.10% < 99%' } }
  const one = alertOf(canaryWith(), { ...news('CanaryThresholdReached', 'error'), status }, { at: NOW, cluster: 'seoul' })
  if (one === undefined) throw new Error('no alert')
  t.match(one, { message: 'Failed checks threshold reached 5', detail: status.gate.reason })
  t.match(render(one, mailTo()), { mail: { text: /^Failed checks threshold reached 5\n\nHalt shop\.prod advancement success rate 92\.10% < 99%\n\nCanary: shop\.prod\n/ } })
  t.match(render(one, to('webhook')), { body: { message: 'Failed checks threshold reached 5', detail: status.gate.reason, cluster: 'seoul' } })
  t.match(render(one, to('alertmanager')), { body: [{ labels: { cluster: 'seoul' }, annotations: { description: `Failed checks threshold reached 5\n${status.gate.reason}\nCluster: seoul` } }] })
  t.notMatch(JSON.stringify(render(one, to('slack'))), /92\.10/)
  t.equal(alertOf(canaryWith(), { ...news('CanaryStarted'), status }, { at: NOW })?.detail, undefined)
})

test('a message is no longer than every receiver takes', async (t) => {
  const { message = '' } = alertOf(canaryWith(), news('CanaryNotReady', 'error', 'x'.repeat(9_000)), { at: NOW }) ?? {}
  t.match([message.length, message.slice(-4)], [2_000, 'x...'])
})

test('news without a severity alert nobody', async (t) => {
  t.equal(alertOf(canaryWith(), { reason: 'CanaryAdvanced', message: 'Advance shop.prod canary weight 10' }, { at: NOW }), undefined)
})

test('the start tells how the analysis is set up, and the cluster comes first', async (t) => {
  t.strictSame(alertOf(canaryWith(), news('CanaryStarted'), { at: NOW, cluster: 'seoul' })?.fields, [
    { name: 'Cluster', value: 'seoul' },
    { name: 'Target', value: 'Deployment/shop-web.prod' },
    { name: 'Failed checks threshold', value: '5' },
    { name: 'Progress deadline', value: '600s' },
    { name: 'Traffic routing', value: 'Weight step: 10 max: 50' },
  ])
  t.strictSame(alertOf(canaryWith(), news('CanaryThresholdReached', 'error'), { at: NOW, cluster: 'seoul' })?.fields, [{ name: 'Cluster', value: 'seoul' }])
  t.strictSame(alertOf(canaryWith(), news('CanaryThresholdReached', 'error'), { at: NOW })?.fields, [])
})

const routings = [
  { analysis: { stepWeight: 5, maxWeight: 30 }, says: 'Weight step: 5 max: 30' },
  { analysis: { stepWeight: 5 }, says: 'Weight step: 5 max: 0' },
  { analysis: { stepWeights: [1, 5, 25] }, says: 'Weight steps: 1,5,25 max: 0' },
  { analysis: { iterations: 5, match: [{ headers: { a: { exact: 'b' } } }] }, says: 'A/B Testing' },
  { analysis: { iterations: 5 }, says: 'Blue/Green' },
]
for (const { analysis, says } of routings) {
  test(`routing is told as: ${says}`, async (t) => {
    t.match(alertOf(canaryWith(analysis), news('CanaryStarted'), { at: NOW })?.fields.at(-1), { name: 'Traffic routing', value: says })
  })
}

const slackBody = (colour: string, one: Alert, fields: unknown = []): unknown => ({
  channel: 'general', username: 'flagger', icon_url: '', icon_emoji: ':rocket:',
  attachments: [{ color: colour, author_name: 'shop.prod', text: one.message, mrkdwn_in: ['text'], fields }],
})
const startedFields = [
  { title: 'Target', value: 'Deployment/shop-web.prod', short: false },
  { title: 'Traffic routing', value: 'Weight step: 10 max: 50', short: false },
]

const bodies: readonly { readonly name: string; readonly alert: Alert; readonly to: Destination; readonly post: { url: string; headers: object; body: unknown } }[] = [
  { name: 'slack: an error is red', alert: alert(), to: to('slack'), post: { url: 'https://chat.example.org/hook/abc', headers: json, body: slackBody('danger', alert()) } },
  { name: 'slack: a start is green, with fields', alert: started, to: to('slack'), post: { url: 'https://chat.example.org/hook/abc', headers: json, body: slackBody('good', started, startedFields) } },
  { name: 'slack: a warning has no colour of its own', alert: alert({ severity: 'warn' }), to: to('slack'), post: { url: 'https://chat.example.org/hook/abc', headers: json, body: slackBody('good', alert()) } },
  {
    name: 'slack: a token becomes a bearer header', alert: alert(), to: to('slack', { address: 'https://slack.com/api/chat.postMessage', secret: { token: 'xoxb-1\n' } }),
    post: { url: 'https://slack.com/api/chat.postMessage', headers: { ...json, authorization: 'Bearer xoxb-1' }, body: slackBody('danger', alert()) },
  },
  { name: 'discord: /slack is added to the path', alert: alert(), to: to('discord', { address: 'https://discord.com/api/webhooks/1/abc' }), post: { url: 'https://discord.com/api/webhooks/1/abc/slack', headers: json, body: slackBody('danger', alert()) } },
  { name: 'discord: /slack is not added twice', alert: started, to: to('discord', { address: 'https://discord.com/api/webhooks/1/abc/slack' }), post: { url: 'https://discord.com/api/webhooks/1/abc/slack', headers: json, body: slackBody('good', started, startedFields) } },
  {
    name: 'slack: what others wrote calls nobody and links nowhere',
    alert: alert({ message: '<!channel> a < b & c', fields: [{ name: 'Cluster', value: '<@U1>' }] }), to: to('slack'), post: {
      url: 'https://chat.example.org/hook/abc', headers: json,
      body: slackBody('danger', alert({ message: '&lt;!channel&gt; a &lt; b &amp; c' }), [{ title: 'Cluster', value: '&lt;@U1&gt;', short: false }]),
    },
  },
  { name: 'discord: query and a last slash stay what they are', alert: alert(), to: to('discord', { address: 'https://discord.com/api/webhooks/1/abc/slack/?thread_id=7' }), post: { url: 'https://discord.com/api/webhooks/1/abc/slack?thread_id=7', headers: json, body: slackBody('danger', alert()) } },
  { name: 'discord: /slack goes before the query', alert: alert(), to: to('discord', { address: 'https://discord.com/api/webhooks/1/abc?thread_id=7' }), post: { url: 'https://discord.com/api/webhooks/1/abc/slack?thread_id=7', headers: json, body: slackBody('danger', alert()) } },
  { name: 'rocket: an error is red', alert: alert(), to: to('rocket'), post: { url: 'https://chat.example.org/hook/abc', headers: json, body: slackBody('#FF0000', alert()) } },
  { name: 'rocket: a start is blue', alert: started, to: to('rocket'), post: { url: 'https://chat.example.org/hook/abc', headers: json, body: slackBody('#0076D7', started, startedFields) } },
  {
    name: 'msteams: a MessageCard', alert: started, to: to('msteams'), post: { url: 'https://chat.example.org/hook/abc', headers: json, body: {
      '@type': 'MessageCard', '@context': 'http://schema.org/extensions', themeColor: '0076D7', summary: 'shop.prod',
      sections: [{
        activityTitle: 'New revision detected, progressing canary analysis.', activitySubtitle: 'shop.prod',
        facts: [{ name: 'Target', value: 'Deployment/shop-web.prod' }, { name: 'Traffic routing', value: 'Weight step: 10 max: 50' }],
      }],
    } },
  },
  {
    name: 'msteams: an error is red', alert: alert(), to: to('msteams'), post: { url: 'https://chat.example.org/hook/abc', headers: json, body: {
      '@type': 'MessageCard', '@context': 'http://schema.org/extensions', themeColor: 'FF0000', summary: 'shop.prod',
      sections: [{ activityTitle: 'Failed checks threshold reached 5', activitySubtitle: 'shop.prod', facts: [] }],
    } },
  },
  {
    name: 'msteams: a Workflow gets an adaptive card', alert: alert(), to: to('msteams', { address: 'https://prod-1.westeurope.logic.azure.com/workflows/1?sig=x' }),
    post: { url: 'https://prod-1.westeurope.logic.azure.com/workflows/1?sig=x', headers: json, body: {
      type: 'message',
      attachments: [{ contentType: 'application/vnd.microsoft.card.adaptive', contentUrl: null, content: {
        $schema: 'http://adaptivecards.io/schemas/adaptive-card.json', type: 'AdaptiveCard', version: '1.4',
        body: [
          { type: 'TextBlock', text: 'Failed checks threshold reached 5', weight: 'Bolder', color: 'Attention', wrap: true },
          { type: 'TextBlock', text: 'shop.prod', isSubtle: true, wrap: true },
        ],
      } }],
    } },
  },
  {
    name: 'gchat: a card with one section a field', alert: alert({ fields: [{ name: 'Cluster', value: '<seoul>' }] }), to: to('gchat'), post: { url: 'https://chat.example.org/hook/abc', headers: json, body: {
      cards: [{
        header: { title: 'Flagger', subtitle: 'shop.prod', imageUrl: 'https://flagger.app/favicon.png' },
        sections: [
          { widgets: [{ textParagraph: { text: '<font color=#848484><strong>Failed checks threshold reached 5</strong></font>' } }] },
          { widgets: [{ textParagraph: { text: 'Cluster<br><font color=#848484><strong>&lt;seoul&gt;</strong></font>' } }] },
        ],
      }],
    } },
  },
  {
    name: 'webhook: the alert as it is', alert: started, to: to('webhook', { secret: { token: 'abcd' } }), post: { url: 'https://chat.example.org/hook/abc', headers: { ...json, authorization: 'Bearer abcd' }, body: {
      name: 'shop', namespace: 'prod', severity: 'info', reason: 'CanaryStarted', message: 'New revision detected, progressing canary analysis.', revision: '1abc',
      fields: { 'Target': 'Deployment/shop-web.prod', 'Traffic routing': 'Weight step: 10 max: 50' }, timestamp: '2026-03-01T10:00:00.000Z',
    } },
  },
  {
    name: 'alertmanager: one alert that ends by itself', alert: alert(), to: to('alertmanager', { address: 'http://alertmanager.monitoring:9093/', secret: { username: 'bob', password: 'pass' } }),
    post: { url: 'http://alertmanager.monitoring:9093/api/v2/alerts', headers: { ...json, authorization: 'Basic Ym9iOnBhc3M=' }, body: [{
      labels: { alertname: 'CanaryThresholdReached', severity: 'critical', namespace: 'prod', canary: 'shop', job: 'canarygate' },
      annotations: { summary: 'shop.prod: Failed checks threshold reached 5', description: 'Failed checks threshold reached 5', revision: '1abc' },
      startsAt: '2026-03-01T10:00:00.000Z', endsAt: '2026-03-01T10:15:00.000Z',
    }] },
  },
]
for (const { name, alert: one, to: destination, post } of bodies) test(name, async (t) => { t.strictSame(render(one, destination), { kind: 'post', ...post }) })

const mailTo = (change: Partial<Destination> = {}): Destination =>
  to('email', { address: 'smtp://mail.example.org', channel: 'oncall@example.org, team@example.org', username: 'canary@example.org', ...change })

test('email: subject, sender, recipients and text', async (t) => {
  t.strictSame(render(alert({ fields: [{ name: 'Cluster', value: 'seoul' }] }), mailTo({ secret: { username: 'bob', password: 'pass' } })), { kind: 'mail', mail: {
    host: 'mail.example.org', port: 587, tls: false, user: { name: 'bob', password: 'pass' }, from: 'canary@example.org', to: ['oncall@example.org', 'team@example.org'],
    subject: '[error] shop.prod: Failed checks threshold reached 5',
    text: 'Failed checks threshold reached 5\n\nCanary: shop.prod\nSeverity: error\nReason: CanaryThresholdReached\nRevision: 1abc\nTime: 2026-03-01T10:00:00.000Z\nCluster: seoul\n',
  } })
})
test('email: smtps is TLS from the first byte, on 465', async (t) => t.match(render(alert(), mailTo({ address: 'smtps://mail.example.org' })), { mail: { tls: true, port: 465 } }))
test('email: half a character is cut off whole', async (t) => {
  const delivery = render(alert({ message: '\u{1F6A8}'.repeat(200) }), mailTo())
  t.match(delivery, { mail: { subject: /^\[error\] shop\.prod: (?:\u{1F6A8})+$/u } })
})
test('email: a new line in a message makes no header', async (t) => {
  t.match(render(alert({ message: 'bad\r\nBcc: all@example.org' }), mailTo()), { mail: { subject: '[error] shop.prod: bad Bcc: all@example.org' } })
})

const faults = [
  { name: 'an address that is no URL', to: to('slack', { address: 'hooks' }), says: 'the address is no http or https URL' },
  { name: 'an address that is no web address', to: to('rocket', { address: 'file:///etc/passwd' }), says: 'the address is no http or https URL' },
  { name: 'a discord address that is none', to: to('discord', { address: '' }), says: 'the address is no http or https URL' },
  { name: 'mail over http', to: mailTo({ address: 'http://mail' }), says: 'the address is no smtp:// or smtps:// URL' },
  { name: 'a channel that is no mail address', to: mailTo({ channel: 'general' }), says: '"general" is no e-mail address; channel holds the recipients, username the sender' },
  { name: 'no recipient', to: mailTo({ channel: ' , ' }), says: 'channel holds no recipient' },
  { name: 'mail through a proxy', to: mailTo({ proxy: 'http://proxy:3128' }), says: 'e-mail goes through no proxy; leave spec.proxy out' },
  { name: 'a sender with a second line', to: mailTo({ username: 'a@b\nRCPT TO:<c@d>' }), says: /is no e-mail address/ },
]
for (const { name, to: destination, says } of faults) test(`${name} is a fault`, async (t) => { t.match(render(alert(), destination), { kind: 'fault', reason: says }) })

const destinations = [
  { name: 'defaults are those of Flagger', spec: { type: 'slack', address: 'http://a' }, secret: undefined, is: { address: 'http://a', channel: 'general', username: 'flagger' } },
  { name: 'the Secret\'s address wins', spec: { type: 'slack', secretRef: { name: 's' } }, secret: { address: 'http://b\n', token: 't' }, is: { address: 'http://b', secret: { token: 't' } } },
  { name: 'the new line at the end of what a file or echo made is no part of a secret', spec: { type: 'email', secretRef: { name: 's' } }, secret: { address: 'smtp://m\n', username: 'bob\n', password: 'pa ss \r\n' }, is: { address: 'smtp://m', secret: { username: 'bob', password: 'pa ss ' } } },
  { name: 'a missing Secret is told', spec: { type: 'slack', secretRef: { name: 's' } }, secret: undefined, is: 'secret s was not found' },
  { name: 'a Secret without address is told', spec: { type: 'slack', secretRef: { name: 's' } }, secret: { token: 't' }, is: 'secret s has no key address' },
  { name: 'neither address nor Secret is told', spec: { type: 'slack' }, secret: undefined, is: 'it has neither address nor secretRef' },
]
for (const { name, spec, secret, is } of destinations) test(name, async (t) => { t.match(destinationOf(spec, secret), is) })

test('every listed provider has a type of its own', async (t) => {
  t.same(NOTIFY_PROVIDERS.map(({ type }) => type), ['slack', 'msteams', 'discord', 'rocket', 'gchat', 'webhook', 'alertmanager', 'email'])
})
