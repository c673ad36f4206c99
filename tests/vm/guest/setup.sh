# Makes a guest of a fresh Debian: runs inside it once, as root, while the image is built.
set -eu

# Kernel and modules are unpacked, not installed: nothing of a boot loader or an initramfs generator is
# wanted. (The cloud kernel has no USB.)
cd /tmp
kernel=$(apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: //p')
apt-get -qq download "$kernel"
dpkg -x "$kernel"_*.deb kernel
version=$(ls kernel/lib/modules)
cp "kernel/boot/vmlinuz-$version" /boot/vmlinuz
cd "kernel/lib/modules/$version/kernel"
rm -r sound drivers/gpu drivers/net drivers/media drivers/iio drivers/infiniband drivers/staging \
    drivers/hwmon drivers/mtd drivers/platform drivers/bluetooth drivers/hid
cd /tmp
cp -a kernel/lib/modules /usr/lib/
rm -r kernel "$kernel"_*.deb
depmod -a "$version"

# An initramfs that knows the one disk this guest has.
mkdir -p initramfs/bin initramfs/modules initramfs/dev initramfs/proc initramfs/root
cp /bin/busybox initramfs/bin/
for module in virtio_pci virtio_blk virtio_console ext4; do
    modprobe --set-version "$version" --show-depends "$module"
done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' |
    while read -r module; do
        cp "$module" initramfs/modules/
        echo "/modules/${module##*/}" >>initramfs/order
    done
cat >initramfs/init <<'END'
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for module in $(/bin/busybox cat /order); do
    # Some drive hardware that is not there.
    /bin/busybox insmod "$module" 2>/dev/null
done
until /bin/busybox mount -t ext4 /dev/vda /root 2>/dev/null; do
    /bin/busybox sleep 0.1
done
exec /bin/busybox switch_root /root /lib/systemd/systemd
END
chmod 755 initramfs/init
(cd initramfs && find . | busybox cpio -o -H newc 2>/dev/null) | gzip -1 >/boot/initramfs
rm -r initramfs

# Somebody sits at the computer: logged in on tty1, which makes an active session at seat0.
useradd --create-home --shell /bin/sh --uid 1000 alice
mkdir -p /etc/systemd/system/getty@tty1.service.d
cat >/etc/systemd/system/getty@tty1.service.d/autologin.conf <<'END'
[Service]
ExecStart=
ExecStart=-/sbin/agetty --autologin alice --noclear %I linux
END
# What is shown to alice: a notification service that puts each call into the journal.
cat >/etc/systemd/user/notifications.service <<'END'
[Service]
Type=dbus
BusName=org.freedesktop.Notifications
ExecStart=/usr/bin/python3 -u -m dbusmock --session --template notification_daemon
[Install]
WantedBy=default.target
END
systemctl --global enable notifications.service

# The guest agent tells of each question it is asked.
mkdir -p /etc/systemd/system/qemu-guest-agent.service.d
cat >/etc/systemd/system/qemu-guest-agent.service.d/quiet.conf <<'END'
[Service]
LogLevelMax=warning
END

# The whole journal goes to the host, which waits for lines of it.
mkdir -p /etc/systemd/journald.conf.d
cat >/etc/systemd/journald.conf.d/host.conf <<'END'
[Journal]
Storage=volatile
ForwardToConsole=yes
TTYPath=/dev/hvc0
MaxLevelConsole=debug
RateLimitIntervalSec=0
END

echo guest >/etc/hostname
echo '127.0.0.1 localhost guest' >/etc/hosts
: >/etc/machine-id
: >/etc/fstab
systemctl set-default multi-user.target
systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    e2scrub_reap.service fstrim.timer serial-getty@.service systemd-binfmt.service systemd-networkd.service \
    getty@tty2.service
