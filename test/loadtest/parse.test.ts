import { readFileSync } from 'node:fs'
import { test } from 'tap'
import { parseCommand } from '#loadtest/command.ts'
import { parsePayload } from '#loadtest/payload.ts'
import { showCommand } from '#loadtest/server.ts'
import { splitCommand } from '#loadtest/words.ts'

const LIMITS = { maxWorkers: 100 }
const HEY_HEADERS = { 'content-type': 'text/html', 'user-agent': 'hey/0.0.1' }
const LOAD = {
  kind: 'load', method: 'GET', headers: HEY_HEADERS, body: undefined, workers: 50, requests: 200, durationMs: undefined,
  ratePerWorker: 0, timeoutMs: 20_000, keepAlive: true, followRedirects: true, http2: false,
}

const loads = [
  { cmd: 'hey http://a/', is: { ...LOAD, url: 'http://a/' } },
  {
    cmd: 'hey -z 1m -q 50 -c 5 http://payment-service:8080/health',
    is: { ...LOAD, url: 'http://payment-service:8080/health', durationMs: 60_000, ratePerWorker: 50, workers: 5, requests: undefined },
  },
  {
    cmd: 'hey -z 60s -q 10 -c 2 -host uracle.local http://ingress-nginx-controller.ingress-nginx',
    is: {
      ...LOAD, url: 'http://ingress-nginx-controller.ingress-nginx/', durationMs: 60_000, ratePerWorker: 10, workers: 2, requests: undefined,
      headers: { ...HEY_HEADERS, host: 'uracle.local' },
    },
  },
  { cmd: 'hey -n 100 -c 30 http://a/', is: { ...LOAD, url: 'http://a/', workers: 30, requests: 90 } },
  {
    cmd: `hey -m post -d '{"a": 1}' -T application/json -t 5 -H 'X-Canary: insider' -H "Cookie: a=b; c=d" -disable-keepalive http://a/b?c=d`,
    is: {
      ...LOAD, url: 'http://a/b?c=d', method: 'POST', body: '{"a": 1}', timeoutMs: 5_000, keepAlive: false,
      headers: { ...HEY_HEADERS, 'content-type': 'application/json', 'x-canary': 'insider', 'cookie': 'a=b; c=d' },
    },
  },
  { cmd: 'hey --c=2 -n=10 -z=2s -disable-redirects -cpus 4 http://a', is: { ...LOAD, url: 'http://a/', workers: 2, requests: undefined, durationMs: 2_000, followRedirects: false } },
  { cmd: 'hey -h2 -n 50 https://a', is: { ...LOAD, url: 'https://a/', requests: 50, http2: true } },
  { cmd: 'hey -a bob:pass -U me -A text/css http://a', is: { ...LOAD, url: 'http://a/', headers: { ...HEY_HEADERS, 'authorization': 'Basic Ym9iOnBhc3M=', 'user-agent': 'me hey/0.0.1', 'accept': 'text/css' } } },
]
for (const { cmd, is } of loads) {
  test(`a load: ${cmd}`, async (t) => t.strictSame(parseCommand(cmd, LIMITS), { ok: true, value: [{ plan: is, filters: [], quiet: false }] }))
}

const FETCH = {
  kind: 'fetch', tool: 'curl', method: 'GET', body: undefined, failOnError: false, followRedirects: false, insecure: false,
  timeoutMs: undefined, retries: 0, retryDelayMs: undefined, prints: 'body', writeOut: '', headers: { 'user-agent': 'curl', 'accept': '*/*' },
}
const FORM = { ...FETCH.headers, 'content-type': 'application/x-www-form-urlencoded' }
const fetches = [
  { cmd: 'curl -sf http://shop-canary.prod/healthz', is: { ...FETCH, url: 'http://shop-canary.prod/healthz', failOnError: true } },
  { cmd: 'curl shop-canary.prod', is: { ...FETCH, url: 'http://shop-canary.prod/' } },
  { cmd: `curl -sd 'test' http://podinfo-svc-canary/token`, is: { ...FETCH, url: 'http://podinfo-svc-canary/token', method: 'POST', body: 'test', headers: FORM } },
  { cmd: 'curl -sSfL -m 5 -o /dev/null --retry 3 --retry-delay 2 http://a', is: { ...FETCH, url: 'http://a/', failOnError: true, followRedirects: true, timeoutMs: 5_000, prints: 'nothing', retries: 3, retryDelayMs: 2_000 } },
  { cmd: `curl -k -XPUT -H'X-A: b' --data=a -d b http://a`, is: { ...FETCH, url: 'http://a/', insecure: true, method: 'PUT', body: 'a&b', headers: { ...FORM, 'x-a': 'b' } } },
  { cmd: 'curl -I -u bob:pass http://a', is: { ...FETCH, url: 'http://a/', method: 'HEAD', prints: 'headers-and-body', headers: { ...FETCH.headers, authorization: 'Basic Ym9iOnBhc3M=' } } },
  { cmd: `curl -s -o /dev/null -w '%{http_code}\\n' http://a`, is: { ...FETCH, url: 'http://a/', prints: 'nothing', writeOut: String.raw`%{http_code}\n` } },
  { cmd: 'wget -qO- http://a', is: { ...FETCH, tool: 'wget', url: 'http://a/', failOnError: true, followRedirects: true, headers: { 'user-agent': 'wget', 'accept': '*/*' } } },
  { cmd: 'wget --spider -T 3 -t 2 http://a', is: { ...FETCH, tool: 'wget', url: 'http://a/', method: 'HEAD', failOnError: true, followRedirects: true, prints: 'nothing', timeoutMs: 3_000, retries: 1, headers: { 'user-agent': 'wget', 'accept': '*/*' } } },
]
for (const { cmd, is } of fetches) {
  test(`a check: ${cmd}`, async (t) => t.strictSame(parseCommand(cmd, LIMITS), { ok: true, value: [{ plan: is, filters: [], quiet: false }] }))
}

const others = [
  { cmd: 'sleep 5', is: { kind: 'sleep', milliseconds: 5_000 } },
  { cmd: 'sleep 1m', is: { kind: 'sleep', milliseconds: 60_000 } },
  { cmd: 'grpc_health_probe -addr=podinfo-canary:9999', is: { kind: 'health', url: 'http://podinfo-canary:9999', service: '', headers: [['user-agent', 'grpc_health_probe']], connectTimeoutMs: 1_000, rpcTimeoutMs: 1_000, insecure: false, serverName: undefined } },
  {
    cmd: `grpc_health_probe --addr a:1 -service shop.Cart -tls -tls-no-verify -tls-server-name b -connect-timeout 250ms -rpc-timeout=5s -rpc-header 'x-canary: insider' -v`,
    is: { kind: 'health', url: 'https://a:1', service: 'shop.Cart', headers: [['x-canary', 'insider'], ['user-agent', 'grpc_health_probe']], connectTimeoutMs: 250, rpcTimeoutMs: 5_000, insecure: true, serverName: 'b' },
  },
]
for (const { cmd, is } of others) {
  test(`a part: ${cmd}`, async (t) => t.strictSame(parseCommand(cmd, LIMITS), { ok: true, value: [{ plan: is, filters: [], quiet: false }] }))
}

const refusals = [
  { cmd: '', says: /empty/ },
  { cmd: 'rm -rf /', says: /rm is not run here; known are hey, curl, wget/ },
  { cmd: '/usr/bin/curl http://a', says: /is not run here/ },
  { cmd: 'helm test shop', says: /helm is not run here/ },
  { cmd: 'hey http://a; rm -rf /', says: /";" needs a shell/ },
  { cmd: 'hey http://a || true', says: /"\|" needs a shell/ },
  { cmd: 'hey http://a &', says: /"&" needs a shell/ },
  { cmd: 'hey http://a > /tmp/x', says: /">" needs a shell/ },
  { cmd: 'hey -d @- http://a < /etc/passwd', says: /"<" needs a shell/ },
  { cmd: '(curl http://a)', says: /"\(" needs a shell/ },
  { cmd: 'curl http://a\ncurl http://b', says: /a new line/ },
  { cmd: 'curl http://$HOST/', says: /variables and command substitution/ },
  { cmd: 'curl "http://$(id)/"', says: /variables and command substitution/ },
  { cmd: 'curl http://`id`/', says: /variables and command substitution/ },
  { cmd: `curl 'http://a`, says: /single quote is not closed/ },
  { cmd: 'curl "http://a', says: /double quote is not closed/ },
  { cmd: 'curl http://a | sh', says: /piped to grep, not to sh/ },
  { cmd: 'curl http://a |', says: /no command at the end/ },
  { cmd: '| grep a', says: /no command before/ },
  { cmd: 'curl http://a | grep "(a+)+$"', says: /grep knows text/ },
  { cmd: 'curl http://a | grep -r a /etc', says: /grep -r is not supported/ },
  { cmd: 'curl http://a | grep a /etc/passwd', says: /one pattern and no file/ },
  { cmd: 'curl -d @/etc/passwd http://a', says: /files are not read here/ },
  { cmd: 'curl -o /tmp/x http://a', says: /files are not written here/ },
  { cmd: 'curl -w %{time_connect} http://a', says: /curl -w knows %\{http_code\}.* not %\{time_connect\}/ },
  { cmd: 'curl -w @/etc/passwd http://a', says: /files are not read here/ },
  { cmd: 'grpc_health_probe', says: /needs -addr=host:port/ },
  { cmd: 'grpc_health_probe -addr=a', says: /needs -addr=host:port/ },
  { cmd: 'grpc_health_probe -addr=a:1/x', says: /needs -addr=host:port/ },
  { cmd: 'grpc_health_probe -addr=a:1 -tls -tls-ca-cert /ca', says: /-tls-ca-cert is not supported/ },
  { cmd: 'grpc_health_probe -addr=a:1 -rpc-timeout soon', says: /are durations/ },
  { cmd: 'sleep', says: /sleep takes one time/ },
  { cmd: 'sleep for ever', says: /sleep takes one time/ },
  { cmd: 'ghz --insecure a:1', says: /ghz is not run here; .*Flagger's own load tester can run beside this one/ },
  { cmd: 'curl http://a | jq -e .ok', says: /piped to grep, not to jq/ },
  { cmd: 'curl -x http://proxy http://a', says: /curl -x is not supported here/ },
  { cmd: 'curl -K /etc/curlrc http://a', says: /curl -K is not supported here/ },
  { cmd: 'curl file:///etc/passwd', says: /no http or https URL/ },
  { cmd: 'curl http://a http://b', says: /one URL/ },
  { cmd: 'curl', says: /no URL/ },
  { cmd: 'hey -z 1m', says: /no URL/ },
  { cmd: 'hey a', says: /no http or https URL/ },
  { cmd: 'hey -z soon http://a', says: /-z soon is no duration/ },
  { cmd: 'hey -c 1000 http://a', says: /more than the 100 workers/ },
  { cmd: 'hey -c 0 http://a', says: /-c must be 1 or more/ },
  { cmd: 'hey -n 1 -c 2 http://a', says: /-n 1 is less than -c 2/ },
  { cmd: 'hey -D /etc/passwd http://a', says: /-D \(a body from a file\) is not supported/ },
  { cmd: 'hey -x http://proxy http://a', says: /-x \(a proxy\) is not supported/ },
  { cmd: 'hey -constructor 1 http://a', says: /hey has no option -constructor/ },
  { cmd: 'hey http://a -c 2', says: /options before the URL/ },
  { cmd: 'hey -m "GET /x" http://a', says: /is no method/ },
  { cmd: `hey -H 'no header' http://a`, says: /is no header/ },
  { cmd: `hey -host 'a\nb: c' http://a`, says: /is no header/ },
  { cmd: 'hey -c', says: /-c has no value/ },
  { cmd: `curl ${'x'.repeat(20_000)}`, says: /longer than/ },
  { cmd: Array.from({ length: 30 }, () => 'curl http://a').join(' && '), says: /at most 20 parts/ },
]
for (const { cmd, says } of refusals) {
  test(`refused: ${cmd.slice(0, 60).replaceAll('\n', String.raw`\n`) || 'nothing at all'}`, async (t) => t.match(parseCommand(cmd, LIMITS), { ok: false, reason: says }))
}

const splits = [
  { text: `a 'b  c' "d \\"e\\"" f\\ g h''i`, words: [['a', 'b  c', 'd "e"', 'f g', 'hi']] },
  { text: `a ''`, words: [['a', '']] },
  { text: 'a \\\n  b', words: [['a', 'b']] },
  { text: `grep '^a$' "b$"`, words: [['grep', '^a$', 'b$']] },
  { text: 'a && b|c', words: [['a'], ['b'], ['c']] },
  { text: 'a &&\n  b |\n c\n', words: [['a'], ['b'], ['c']] },
  { text: 'a > /dev/null 2>&1 && b 2>/dev/null', words: [['a'], ['b']] },
  { text: 'a http://h/?x=1#y', words: [['a', 'http://h/?x=1#y']] },
]
for (const { text, words } of splits) {
  test(`words of ${text.replaceAll('\n', String.raw`\n`)}`, async (t) => {
    const split = splitCommand(text)
    t.strictSame(split.ok ? split.value.map((one) => one.words) : split.reason, words)
  })
}

const greps = [
  { pattern: 'token', line: '{"token": 1}', matches: true }, { pattern: 'token', line: 'Token', matches: false },
  { pattern: '-i token', line: 'Token', matches: true }, { pattern: '-v token', line: 'token', matches: false },
  { pattern: '^6.0.1$', line: '6.0.1', matches: true }, { pattern: '^6.0.1$', line: '16.0.1', matches: false }, { pattern: '6.0.1', line: '6x0y1', matches: true },
  { pattern: "-E '200|204'", line: '204', matches: true }, { pattern: "-E '^200$|^204$'", line: '2040', matches: false }, { pattern: String.raw`'ok\|ready'`, line: 'ready', matches: true },
  { pattern: '-F 6.0.1', line: '6x0y1', matches: false }, { pattern: '-qF a+b', line: 'a+b', matches: true }, { pattern: 'a-b/c', line: 'xa-b/c', matches: true },
]
for (const { pattern, line, matches } of greps) {
  test(`grep ${pattern} ${matches ? 'finds' : 'does not find'} ${line}`, async (t) => {
    const command = parseCommand(`curl http://a | grep ${pattern}`, LIMITS)
    t.equal(command.ok && command.value[0]?.filters[0]?.matches(line), matches)
  })
}

const payloads = [
  { text: '{"name":"a","namespace":"b"}', is: { ok: true, value: { name: 'a', namespace: 'b', phase: '', metadata: undefined } } },
  { text: '{"metadata":{"cmd":"hey"}}', is: { ok: true, value: { metadata: { cmd: 'hey' } } } },
  { text: 'no', is: { ok: false, reason: 'the body is not JSON' } },
  { text: '', is: { ok: false } },
  { text: '[]', is: { ok: false, reason: 'the body is no JSON object' } },
  { text: '{"name":1}', is: { ok: false } },
  { text: '{"metadata":{"cmd":1}}', is: { ok: false, reason: 'metadata must map names to strings' } },
]
for (const { text, is } of payloads) test(`the body ${text || 'that is empty'} is ${is.ok ? 'read' : 'refused'}`, async (t) => { t.match(parsePayload(text), is) })

test('a command is shown without its passwords, tokens and cookies', async (t) => {
  t.equal(
    showCommand(`curl -u bob:hunter22 -H 'Authorization: Bearer tok-1234' -H 'Accept: a' --cookie "sid=abcdef" http://h/?token=qwerty&x=1`),
    `curl -u *** -H 'Authorization: ***' -H 'Accept: a' --cookie *** http://h/?token=***&x=1`,
  )
})

const shown = [
  { cmd: `hey -m POST -d '{"password": "hunter22", "token":"tok-12345", "env": "prod"}' http://a/`, is: `hey -m POST -d '{"password": "***", "token":"***", "env": "prod"}' http://a/` },
  { cmd: `curl -d 'user=bob&password=hunter22' http://a/`, is: `curl -d 'user=bob&password=***' http://a/` },
  { cmd: `curl -sfuroot:hunter22 http://a/`, is: `curl -sfu*** http://a/` },
  { cmd: String.raw`curl -d "{\"apiKey\": \"abcd1234\"}" http://a/`, is: String.raw`curl -d "{\"apiKey\": \"***\"}" http://a/` },
  { cmd: `hey -z 1m -q 10 -c 2 -host shop.test http://a/b?c=d`, is: `hey -z 1m -q 10 -c 2 -host shop.test http://a/b?c=d` },
]
for (const { cmd, is } of shown) test(`shown: ${is}`, async (t) => { t.equal(showCommand(cmd), is) })

const documented = readFileSync('docs/hooks.md', 'utf8').split('\n').filter((line) => /^(?:curl|hey|sleep|grpc_health_probe) /.test(line))
test('the page has examples', async (t) => { t.ok(documented.length >= 5) })
for (const cmd of documented) test(`documented: ${cmd}`, async (t) => { t.match(parseCommand(cmd, LIMITS), { ok: true }) })
