"""Stands in for UDisks2 where a test machine has no device mapper and no drive with power.

Serves one encrypted device with the number of the node that is given, and its drive, and writes every call
into a file. The key is the bytes 00 ff "key".
"""

import os
import sys

import dbus
import dbus.mainloop.glib
import dbus.service
from gi.repository import GLib

node, log = sys.argv[1:]
number = dbus.UInt64(os.stat(node).st_rdev)
ROOT = "/org/freedesktop/UDisks2"
UDISKS = "org.freedesktop.UDisks2"
KEY = bytes([0, 255]) + b"key"


def called(what, options):
    quiet = "quiet" if options.get("auth.no_user_interaction") else "may ask"
    with open(log, "a", encoding="utf-8") as file:
        file.write(f"{what} {quiet}\n")


class Object(dbus.service.Object):
    properties = {}

    @dbus.service.method(dbus.PROPERTIES_IFACE, in_signature="ss", out_signature="v")
    def Get(self, interface, name):
        return self.properties[interface + "." + name]

    @dbus.service.method(dbus.PROPERTIES_IFACE, in_signature="s", out_signature="a{sv}")
    def GetAll(self, interface):
        start = interface + "."
        return {k[len(start):]: v for k, v in self.properties.items() if k.startswith(start)}


class Manager(Object):
    @dbus.service.method(UDISKS + ".Manager", in_signature="a{sv}a{sv}", out_signature="ao")
    def ResolveDevice(self, wanted, _options):
        return [ROOT + "/block_devices/container"] if wanted["path"] == node else []


class Container(Object):
    properties = {
        UDISKS + ".Block.DeviceNumber": number,
        UDISKS + ".Block.Drive": dbus.ObjectPath(ROOT + "/drives/drive"),
    }

    @dbus.service.method(UDISKS + ".Encrypted", in_signature="sa{sv}", out_signature="o")
    def Unlock(self, passphrase, options):
        key = bytes(options.get("keyfile_contents", []))
        called(f"Unlock '{passphrase}' {'wrong' if key != KEY else key.hex()}", options)
        if key != KEY:
            name = UDISKS + ".Error.Failed"
            raise dbus.DBusException("No key available with this passphrase.", name=name)
        return dbus.ObjectPath(ROOT + "/block_devices/inside")

    @dbus.service.method(UDISKS + ".Encrypted", in_signature="a{sv}", out_signature="")
    def Lock(self, options):
        called("Lock", options)


class Inside(Object):
    properties = {UDISKS + ".Block.DeviceNumber": number}


class Drive(Object):
    properties = {UDISKS + ".Drive.CanPowerOff": True, UDISKS + ".Drive.Ejectable": True}

    @dbus.service.method(UDISKS + ".Drive", in_signature="a{sv}", out_signature="")
    def PowerOff(self, options):
        called("PowerOff", options)


dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
bus = dbus.SystemBus()
served = [
    Manager(bus, ROOT + "/Manager"),
    Container(bus, ROOT + "/block_devices/container"),
    Inside(bus, ROOT + "/block_devices/inside"),
    Drive(bus, ROOT + "/drives/drive"),
]
name = dbus.service.BusName(UDISKS, bus)
GLib.MainLoop().run()
