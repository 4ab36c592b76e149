#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Registries behind a proxy, which is tinyproxy. 0.0.0.0 leads to this machine as 127.0.0.1 does, but
is no loopback address, which no proxy is asked for."""
import functools
import os
import shutil
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from faulty_registry import FaultyRegistry  # noqa: E402
from proxy import Proxy  # noqa: E402
from machine import Machine, hello  # noqa: E402
from registry import private_ca  # noqa: E402
from serve_client import BOX, IS_FULL, example, run, tap  # noqa: E402

ALICE = ("alice", "pa55-of-alice")


@functools.cache
def ca():
    folder = os.path.join(BOX, "ca")
    os.mkdir(folder)
    return private_ca(folder)


def machine(registry=None, **env):
    """With these variables, and the authority if the registry's certificate is by it."""
    m = Machine()
    m.env.update(env)
    if registry:
        folder = os.path.join(m.dir, f".config/containers/certs.d/0.0.0.0:{port(registry)}")
        os.makedirs(folder)
        shutil.copy(ca().ca_file, os.path.join(folder, "ca.crt"))
    return m


def port(registry):
    return registry.address.rpartition(":")[2]


def encrypted():
    with FaultyRegistry(tls=ca().server) as registry, Proxy() as proxy:
        registry.add_layout(hello()[0].dir)
        host = f"0.0.0.0:{port(registry)}"
        m = machine(registry, https_proxy=proxy.url())
        tap.equal("https_proxy: a pull with an authority of certs.d",
                  (m.wherry("pull", "-q", f"{host}/test/app:v1")[0], set(proxy.requests())),
                  (0, {f"CONNECT {host}"}))
        tap.equal("https_proxy: run", m.wherry("run", f"{host}/test/app:v1"),
                  m.wherry("run", example("c")))
        tap.equal("https_proxy: push", m.wherry("push", example("c"), f"{host}/test/new:1")[0], 0)
        before = len(proxy.requests())
        status, _, said = machine(None, HTTPS_PROXY=proxy.url()).wherry(
            "pull", f"{host}/test/app:v1")
        tap.ok("HTTPS_PROXY: a certificate of nobody known is refused behind it too",
               status == 1 and "certificate" in said and len(proxy.requests()) > before,
               (status, said))
        before = proxy.requests()
        for no_proxy in ("example.com,0.0.0.0/8", f" {host}:1,{host}", "example.com, *"):
            m = machine(registry, https_proxy=proxy.url(), NO_PROXY=no_proxy)
            tap.equal(f"NO_PROXY={no_proxy}: without the proxy",
                      (m.wherry("pull", "-q", f"{host}/test/app:v1")[0], proxy.requests()),
                      (0, before))
        m = machine(registry, all_proxy=proxy.url(), no_proxy="example.com,0.0.0.0:1")
        tap.ok("all_proxy, and another name and another port in no_proxy",
               m.wherry("pull", "-q", f"{host}/test/app:v1")[0] == 0 and
               len(proxy.requests()) > len(before))


def plain():
    with FaultyRegistry() as registry, Proxy() as proxy:
        registry.add_layout(hello()[0].dir)
        host = f"0.0.0.0:{port(registry)}"
        for name in ("http_proxy", "HTTP_PROXY"):
            before = len(proxy.requests())
            m = machine(**{name: proxy.url()})
            status, _, said = m.wherry("pull", "-q", "--plain-http", f"{host}/test/app:v1")
            asked = proxy.requests()[before:]
            tap.ok(f"{name}: a pull", status == 0 and
                   f"GET http://{host}/v2/test/app/manifests/v1" in asked, (status, said, asked))
        before = proxy.requests()
        m = machine(HTTP_PROXY=proxy.url(), REQUEST_METHOD="GET")
        tap.equal("HTTP_PROXY: not in a CGI program",
                  (m.wherry("pull", "-q", "--plain-http", f"{host}/test/app:v1")[0],
                   proxy.requests()), (0, before))
        for host in ("127.0.0.1", "localhost"):
            m = machine(http_proxy=proxy.url(), https_proxy=proxy.url(), no_proxy="example.com")
            tap.equal(f"no proxy for {host}",
                      (m.wherry("pull", "-q", f"{host}:{port(registry)}/test/app:v1")[0],
                       proxy.requests()), (0, before))


def passwords():
    with FaultyRegistry(tls=ca().server) as registry, FaultyRegistry() as open_one, \
            Proxy(user=ALICE) as proxy:
        for r in (registry, open_one):
            r.add_layout(hello()[0].dir)
        name = f"0.0.0.0:{port(registry)}/test/app:v1"
        m = machine(registry, https_proxy=proxy.url(ALICE))
        tap.equal("a proxy with a password", m.wherry("pull", "-q", name)[0], 0)
        tap.ok("its password is not sent to the registry",
               not any("proxy-authorization" in r.headers or r.authorization
                       for r in registry.requests()))
        plain_name = f"0.0.0.0:{port(open_one)}/test/app:v1"
        # Of a wrong password it says 401, which without a tunnel could be the registry's word.
        for variable, user, options in (("https_proxy", ("alice", "wr0ng"), (name,)),
                                        ("https_proxy", None, (name,)),
                                        ("http_proxy", None, ("--plain-http", plain_name))):
            m = machine(registry, **{variable: proxy.url(user)})
            status, out, said = m.wherry("pull", "-v", "-v", *options)
            tap.ok(f"{variable}: {'a wrong' if user else 'no'} password: what to write where",
                   status == 1 and f"into {variable} as" in said and "wr0ng" not in out + said,
                   (status, said))
        bad = ["http://alice:s3cret@[bad", "ftp://alice:s3cret@127.0.0.1", "alice:s3cret@host:x"]
        if IS_FULL:
            bad.append("http://alice:s3cret@127.0.0.1:1")  # tried again for some seconds
        for url in bad:
            m = machine(registry, https_proxy=url)
            status, out, said = m.wherry("pull", "-v", "-v", name)
            tap.ok(f"'{url.replace('s3cret', '...')}': an error without the secret",
                   status and ("proxy" in said or "127.0.0.1 port 1 " in said) and
                   "s3cret" not in out + said, (status, said))


run(encrypted, plain, passwords, needs=("tinyproxy",))
