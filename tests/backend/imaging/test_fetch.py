"""Downloads from real servers that misbehave, and addresses in every spelling."""

import gzip
import ssl
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.jobs.fetch import CODES, BadUrl, FetchPolicy, addresses, check_url, fetch

PICTURE = bytes(range(256)) * 40


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def policy_for(server, **changes) -> FetchPolicy:
    options = {"ports": frozenset({server.port}), "allow_private": True, "total_seconds": 10.0} | changes
    return FetchPolicy(**options)


def code_of(url: str, folder: Path, policy: FetchPolicy) -> str:
    with pytest.raises(BadUrl) as caught:
        fetch(url, folder / "target", policy)
    assert caught.value.code in CODES
    assert names_in(folder) == [], "nothing may be left behind"
    return caught.value.code


def test_a_picture_arrives_whole(serve, tmp_path):
    server = serve(lambda talk: talk.answer("200 OK", PICTURE))
    fetch(f"{server.url}/a%20b/ü.png?x=1&y=%2f#part", tmp_path / "target", policy_for(server))
    assert (tmp_path / "target").read_bytes() == PICTURE
    assert names_in(tmp_path) == ["target"]
    head = server.requests[0].decode()
    assert head.startswith("GET /a%20b/%C3%BC.png?x=1&y=%2f HTTP/1.1\r\n")
    assert f"Host: 127.0.0.1:{server.port}\r\n" in head
    assert "Accept-Encoding: identity\r\n" in head


def test_a_chunked_picture_and_one_ended_by_closing_arrive_too(serve, tmp_path):
    chunks = b"400\r\n" + PICTURE[:1024] + b"\r\n1\r\nx\r\n0\r\n\r\n"
    server = serve(
        lambda talk: talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks),
        lambda talk: talk.send(b"HTTP/1.0 200 OK\r\n\r\n" + PICTURE),
    )
    fetch(server.url, tmp_path / "one", policy_for(server))
    fetch(server.url, tmp_path / "two", policy_for(server))
    assert (tmp_path / "one").read_bytes() == PICTURE[:1024] + b"x"
    assert (tmp_path / "two").read_bytes() == PICTURE


def endless(talk):
    talk.send(b"HTTP/1.1 200 OK\r\n\r\n")
    while not talk.stop.is_set():
        talk.send(bytes(65536))


def drip(first: bytes, forever: bytes):
    def script(talk):
        talk.send(first)
        while not talk.stop.wait(0.05):
            talk.send(forever)

    return script


MISBEHAVIOURS = {
    "redirect": (lambda talk: talk.answer("302 Found", Location="http://127.0.0.1/"), "redirect_refused"),
    "not modified": (lambda talk: talk.answer("304 Not Modified"), "redirect_refused"),
    "not found": (lambda talk: talk.answer("404 Not Found", b"<html>"), "http_status"),
    "partial": (lambda talk: talk.answer("206 Partial Content", PICTURE), "http_status"),
    "endless": (endless, "too_large"),
    "huge": (lambda talk: talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n"), "too_large"),
    "short": (lambda talk: talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc"), "incomplete"),
    "short chunk": (
        lambda talk: talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc"), "incomplete"
    ),
    "gzip bomb": (
        lambda talk: talk.answer("200 OK", gzip.compress(bytes(9_000_000)), Content_Encoding="gzip"), "encoding_refused"
    ),
    "silence": (lambda talk: talk.stop.wait(9), "timeout"),
    "dripping head": (drip(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"), "timeout"),
    "dripping status": (drip(b"HTTP/1.1 200 ", b"O"), "timeout"),
    "dripping continue": (drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "timeout"),
    "dripping body": (drip(b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n", b"x"), "timeout"),
    "not http": (lambda talk: talk.send(b"-ERR unknown command\r\n"), "bad_response"),
    "closed": (lambda talk: None, "connect_failed"),
    "reset": (lambda talk: talk.reset(), "incomplete"),
    "headers without end": (lambda talk: talk.send(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 5000), "bad_response"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISBEHAVIOURS)
def test_a_host_that_misbehaves(name, serve, tmp_path):
    script, code = MISBEHAVIOURS[name]
    server = serve(script)
    policy = policy_for(server, total_seconds=1.0, max_bytes=1_000_000)
    started = time.monotonic()
    assert code_of(server.url, tmp_path, policy) == code
    assert time.monotonic() - started < 5, "one deadline over everything"


def test_the_redirect_is_not_followed(serve, tmp_path):
    inner = serve(lambda talk: talk.answer("200 OK", PICTURE))
    outer = serve(lambda talk: talk.answer("307 Temporary Redirect", Location=inner.url))
    code_of(outer.url, tmp_path, policy_for(outer))
    assert inner.requests == []


@pytest.mark.parametrize(("status", "retryable"), [("503 Busy", True), ("429 Slow", True), ("403 No", False)])
def test_what_may_work_later_says_so(status, retryable, serve, tmp_path):
    server = serve(lambda talk: talk.answer(status))
    with pytest.raises(BadUrl) as caught:
        fetch(server.url, tmp_path / "target", policy_for(server))
    assert caught.value.retryable is retryable


def test_the_connection_goes_to_the_address_that_was_judged(serve, tmp_path):
    """A resolver that changes its mind is asked once; Host stays the name."""
    server = serve(lambda talk: talk.answer("200 OK", PICTURE))
    asked = []

    def resolver(host, port, seconds):
        asked.append((host, port))
        return ["127.0.0.1"] if len(asked) == 1 else ["192.0.2.1"]

    policy = policy_for(server, resolver=resolver)
    fetch(f"http://Pictures.Example.com.:{server.port}/", tmp_path / "target", policy)
    assert asked == [("pictures.example.com", server.port)]
    assert f"Host: pictures.example.com:{server.port}\r\n".encode() in server.requests[0]


@pytest.mark.parametrize(
    "answers", [["127.0.0.1"], ["93.184.216.34", "10.0.0.1"], ["::1"], ["169.254.169.254"], ["fe80::1%eth0"], ["junk"]]
)
def test_a_public_name_with_one_private_address_is_not_connected_to(answers, serve, tmp_path):
    server = serve(lambda talk: talk.answer("200 OK", PICTURE))
    policy = policy_for(server, allow_private=False, resolver=lambda *_: answers)
    assert code_of(f"http://pictures.example.com:{server.port}/", tmp_path, policy) == "not_public"
    assert server.conversations == []


def test_the_next_address_is_tried(serve, tmp_path):
    server = serve(lambda talk: talk.answer("200 OK", PICTURE))
    policy = policy_for(server, resolver=lambda *_: ["::1", "127.0.0.1"])
    fetch(f"http://pictures.example.com:{server.port}/", tmp_path / "target", policy)
    assert (tmp_path / "target").exists()


def test_no_address_and_nobody_listening(serve, tmp_path):
    server = serve(lambda talk: None)
    policy = policy_for(server, resolver=lambda *_: [])
    assert code_of(f"http://pictures.example.com:{server.port}/", tmp_path, policy) == "dns_failed"
    server.close()
    server._listener.close()
    assert code_of(server.url, tmp_path, policy_for(server)) == "connect_failed"


def test_a_name_server_that_never_answers_costs_its_share_of_the_time(monkeypatch):
    import threading

    release = threading.Event()
    monkeypatch.setattr(addresses.socket, "getaddrinfo", lambda *_a, **_k: release.wait(20) and [])
    try:
        with pytest.raises(BadUrl, match="dns_timeout"):
            addresses.resolve("slow.example.com", 80, 0.05)
    finally:
        release.set()


def test_only_so_many_lookups_hang_at_a_time(monkeypatch):
    import threading

    release = threading.Event()
    monkeypatch.setattr(addresses, "LOOKUPS", threading.BoundedSemaphore(2))
    monkeypatch.setattr(addresses.socket, "getaddrinfo", lambda *_a, **_k: release.wait(20) and [])
    before = threading.active_count()
    try:
        for _ in range(5):
            with pytest.raises(BadUrl, match="dns_timeout"):
                addresses.resolve("slow.example.com", 80, 0.02)
        assert threading.active_count() <= before + 2
    finally:
        release.set()


def test_names_that_do_not_exist(tmp_path):
    with pytest.raises(BadUrl) as caught:
        addresses.resolve("no-such-host.invalid", 80, 10)
    assert caught.value.code == "dns_failed"
    assert caught.value.retryable


def test_tls_with_the_right_certificate_only(serve, server_context, certificates, tmp_path):
    names = []

    def note(_sock, name, _context):
        names.append(name)

    server_context.sni_callback = note
    server = serve(lambda talk: talk.answer("200 OK", PICTURE), context=server_context)
    trusting = {"ca_file": certificates.authority, "resolver": lambda *_: ["127.0.0.1"]}
    fetch(server.url.replace("127.0.0.1", "localhost"), tmp_path / "target", policy_for(server, **trusting))
    assert names == ["localhost"]
    (tmp_path / "target").unlink()
    other = f"https://pictures.example.com:{server.port}/"
    assert code_of(other, tmp_path, policy_for(server, **trusting)) == "tls_failed", "made out to another name"
    assert code_of(server.url, tmp_path, policy_for(server)) == "tls_failed", "unknown authority"
    plain = serve(lambda talk: talk.answer("200 OK"))
    assert code_of(plain.url.replace("http:", "https:"), tmp_path, policy_for(plain, total_seconds=2.0)) in {
        "tls_failed", "timeout", "incomplete",
    }  # fmt: skip
    assert ssl.create_default_context().verify_mode is ssl.CERT_REQUIRED


def test_a_file_that_cannot_be_written_is_not_the_hosts_fault(serve, tmp_path):
    server = serve(lambda talk: talk.answer("200 OK", PICTURE))
    with pytest.raises(FileNotFoundError):
        fetch(server.url, tmp_path / "nowhere" / "target", policy_for(server))


PRIVATE_HOSTS = [
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7F.1", "0177.0.0.1", "017700000001", "127.0.0.1.",
    "0", "0.0.0.0", "00.0.0.0", "127.00.0.1", "0x", "1.2.3", "256.256.256.256", "4294967296", "10.0.0.1", "172.16.5.4",
    "192.168.1.1", "100.64.0.1", "169.254.169.254", "192.0.2.1", "198.18.0.1", "192.88.99.1", "224.0.0.1", "240.0.0.1",
    "255.255.255.255", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:8.8.8.8]", "[::127.0.0.1]",
    "[fe80::1]", "[fc00::1]", "[fec0::1]", "[ff02::1]", "[2001:db8::1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]",
    "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::1]", "[100::1]", "[2606:4700::5efe:127.0.0.1]",
    "[5f00::1]", "[4000::1]", "localhost", "LOCALHOST", "localhost.", "a.localhost", "redis", "printer.local",
    "metadata.google.internal", "x.home.arpa", "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021",
    "\u2460\u2461\u2466.0.0.1", "\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54",
]  # fmt: skip


@pytest.mark.parametrize("host", PRIVATE_HOSTS)
def test_private_hosts_in_every_spelling(host):
    with pytest.raises(BadUrl) as caught:
        check_url(f"http://{host}/x.png")
    assert caught.value.code == "not_public"


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("file:///etc/passwd", "scheme_refused"),
        ("ftp://example.com/a.png", "scheme_refused"),
        ("gopher://example.com/", "scheme_refused"),
        ("data:image/png;base64,AA", "scheme_refused"),
        ("//example.com/a.png", "scheme_refused"),
        ("/a.png", "scheme_refused"),
        ("", "scheme_refused"),
        ("http://user:pw@example.com/", "userinfo_refused"),
        ("http://@example.com/", "userinfo_refused"),
        ("http://example.com:6379/", "port_refused"),
        ("http://example.com:0/", "port_refused"),
        ("http://example.com:99999/", "malformed"),
        ("http://example.com:x/", "malformed"),
        ("http:///a.png", "malformed"),
        ("http://[::1/", "malformed"),
        ("http://[fe80::1%25eth0]/", "malformed"),
        ("http://%31%32%37.0.0.1/", "malformed"),
        ("http://example.com\\@127.0.0.1/", "malformed"),
        ("http://exam\tple.com/", "malformed"),
        ("http://example.com/a\r\nHost: evil", "malformed"),
        ("http://exa mple.com/", "malformed"),
        ("http://-example.com/", "malformed"),
        ("http://example..com/", "malformed"),
        ("http://" + "a" * 64 + ".com/", "malformed"),
        ("http://example.com/" + "a" * 3000, "malformed"),
    ],
)
def test_urls_that_are_refused_as_text(url, code):
    with pytest.raises(BadUrl) as caught:
        check_url(url)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("url", "host", "port", "target"),
    [
        ("https://Example.COM/a.png", "example.com", 443, "/a.png"),
        ("http://example.com:80?x=1", "example.com", 80, "/?x=1"),
        ("https://bücher.example.com:443/ä?ö#z", "xn--bcher-kva.example.com", 443, "/%C3%A4?%C3%B6"),
        ("http://8.8.8.8/", "8.8.8.8", 80, "/"),
        ("http://[2606:4700:4700::1111]/", "2606:4700:4700::1111", 80, "/"),
        ("http://[64:ff9b::8.8.8.8]/", "64:ff9b::808:808", 80, "/"),
        ("http://my_bucket.s3.example.com/x", "my_bucket.s3.example.com", 80, "/x"),
    ],
)
def test_public_urls_pass(url, host, port, target):
    checked = check_url(url)
    assert (checked.host, checked.port, checked.target) == (host, port, target)


@given(st.text(max_size=60).map(lambda text: "http://" + text))
@settings(max_examples=400, deadline=None)
def test_any_text_is_either_checked_or_refused(url):
    try:
        checked = check_url(url)
    except BadUrl:
        return
    assert checked.host.isascii()
    assert checked.target.isascii()
    assert not set(checked.target) & set(" \r\n\t")


@given(st.ip_addresses(v=4))
@settings(max_examples=300, deadline=None)
def test_no_disguise_makes_an_address_public(address):
    public = addresses.is_public(str(address))
    number = int(address)
    assert addresses.is_public(f"64:ff9b::{number >> 16:x}:{number & 0xFFFF:x}") == public
    assert not addresses.is_public(f"::ffff:{address}")
    assert not addresses.is_public(f"2002:{number >> 16:x}:{number & 0xFFFF:x}::1")
    if public:
        assert address.is_global
