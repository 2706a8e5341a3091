"""TLS: each way to get it wrong has its own name."""

from __future__ import annotations

import datetime as dt

import pytest
import trustme
from tests.integration.redis.harness import check, failing, names

from intelli_fixtures import certs


@pytest.fixture
def secure(redis, intelli_certificates):
    return redis(save="3600 1", certificates=intelli_certificates)


def required(server, authority=None, host: str = "127.0.0.1") -> str:
    url = server.url().replace("127.0.0.1", host) + "?ssl_cert_reqs=CERT_REQUIRED"
    return f"{url}&ssl_ca_certs={authority}" if authority else url


def test_trusted(secure, intelli_certificates):
    url = required(secure, intelli_certificates.authority)
    assert not failing(check(url, results=url, layer=url))


def test_a_broker_url_without_options_is_not_verified_as_in_kombu(secure):
    report = check(secure.url())
    assert not failing(report)


def test_plain_url_on_a_tls_port(secure):
    report = check(secure.url().replace("rediss:", "redis:"))
    names(report, "plain-on-tls-port", "rediss://")
    assert report.seconds < 3.5


def test_tls_url_on_a_plain_port(redis):
    report = check(redis().url().replace("redis:", "rediss:"))
    names(report, "tls-on-plain-port", "redis://")
    assert report.seconds < 3.5


def test_untrusted(secure):
    names(check(required(secure)), "tls-untrusted", "ssl_ca_certs")


def test_authority_file_missing(secure, tmp_path):
    names(check(required(secure, tmp_path / "nowhere.pem")), "tls-files", "ssl_ca_certs")


def issue(folder, *names_: str, **options) -> certs.Certificates:
    authority = trustme.CA()
    server = authority.issue_cert(*names_, **options)
    made = certs.Certificates(folder / "authority.pem", folder / "server.pem", folder / "server.key")
    authority.cert_pem.write_to_path(str(made.authority))
    server.private_key_pem.write_to_path(str(made.key))
    server.cert_chain_pems[0].write_to_path(str(made.certificate))
    return made


def serving(redis, made: certs.Certificates):
    """A server whose own certificate is wrong; redis-py's readiness probe would refuse it, so it is not waited for."""
    server = redis(certificates=made, begin=False)
    server._body.start()
    return server


def test_name_mismatch(redis, tmp_path):
    from intelli_fixtures.processes import until
    from intelli_fixtures.servers import accepts

    made = issue(tmp_path, "redis.example")
    server = serving(redis, made)
    until(lambda: accepts(server.port), 10, "the port")
    names(check(required(server, made.authority)), "tls-name")


def test_expired(redis, tmp_path):
    from intelli_fixtures.processes import until
    from intelli_fixtures.servers import accepts

    past = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    made = issue(tmp_path, "127.0.0.1", not_before=past, not_after=past + dt.timedelta(days=9))
    server = serving(redis, made)
    until(lambda: accepts(server.port), 10, "the port")
    names(check(required(server, made.authority)), "tls-expired")


def test_client_certificate_wanted(redis, intelli_certificates):
    from intelli_fixtures.processes import until

    server = redis(certificates=intelli_certificates, tls_auth_clients="yes", begin=False)
    server._body.start()
    # Not the port: Docker's proxy accepts, and hangs up, before the server inside listens.
    until(lambda: "Ready to accept connections" in server.log(), 10, "the server to listen")
    names(check(required(server, intelli_certificates.authority)), "tls-client-certificate", "ssl_certfile")
